"""Swaps a face, or those of all people, in the frames of a video.

alrl infer-frames --model=DIR --source=PATH --frames=DIR|VIDEO --output=DIR

A directory holds numbered photos, which give PNG files of their names, a JSON file beside each. A
video file (extra ``video``) gives one of the same name, with its sound and the times of its frames,
and one JSON file (``clip.mp4.json``). ``--masks`` adds ``masks/`` and ``manifest.csv``, as those of
``alrl infer``; of a video, a mask for every frame (``masks/clip.mp4/000000.png``). The face is
followed from frame to frame and its landmarks are smoothed over time (``--nosmooth``: not); frames
without it stay as they are. ``results.jsonl`` has a line a frame. Use videos of people who agreed;
outputs are marked as those of ``alrl infer``. Exit status: 0 done; 2 bad usage; 3 finished, but
some frames failed (in the earlier run, where that finished the video), or the face was in none: no
video file is written then.

``--source=sample:SEED`` puts in a person who does not exist, with ``--face=all`` another one for
every person. ``--deidentify`` does that and hides what it cannot replace (``--on_failure``).
``--map=PERSON=SOURCE`` names the source of a person of whom there are pictures.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from absl import flags
from tqdm import tqdm

from alrl_jax.errors import UserError
from alrl_jax.inference import command
from alrl_jax.inference.deidentifying import of_people, open_people, people_settings
from alrl_jax.inference.job import EARLIER
from alrl_jax.inference.outputs import RESULTS_FILE, make_output
from alrl_jax.inference.protocols import FaceSampler, Swapper
from alrl_jax.inference.samples import SAMPLE, read_seed, write_sample
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.video.encoding import CODECS, USUAL, VideoOptions
from alrl_jax.inference.video.frame_folder import FolderSwapping, numbered_files
from alrl_jax.inference.video.frames import FrameSwapping
from alrl_jax.inference.video.people import PeopleSwapping
from alrl_jax.inference.video.pyav import count_frames
from alrl_jax.inference.video.tracking import SMOOTHING
from alrl_jax.inference.video.video_file import LOST, NONE_SWAPPED, VideoSwapping
from alrl_jax.loading import load_swapper
from alrl_jax.training import distributed
from alrl_jax.utils import buckets, command_line
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.destinations import check_folder
from alrl_jax.utils.parts import Share, explain_lost
from alrl_jax.utils.printing import say

Results = Iterator[dict[str, Any]]


def main(argv: list[str]) -> int:
    """Swaps what the flags say; gives the exit status."""
    del argv
    values = flags.FLAGS
    share = distributed.share_by_flags(values)
    keep_compiled_programs()
    frames, output = buckets.pull(Path(values.frames)), Path(values.output)
    _check_part(values)
    if values.pseudonyms is not None and not share.alone:
        raise UserError(
            f"got --pseudonyms={values.pseudonyms} and several processes; expected one, as each "
            "would draw a key of its own; start one, or leave the file out"
        )
    if not frames.exists():
        raise UserError(
            f"got --frames={frames}; expected a directory of frames or a video file; check the path"
        )
    if values.source is None and not values.map:
        raise UserError(
            "got neither --source nor --map; expected a photo or sample:SEED, or a map of people; "
            "add one"
        )
    landmarks_path = None if values.landmarks_path is None else Path(values.landmarks_path)
    settings = command.read_settings(values, landmarks_path)
    check_folder(values.output)
    settings = people_settings(values, dataclasses.replace(settings, masks=values.masks))
    model = load_swapper(values.model)
    model.asked(**settings.asked())
    swapping = _swapping(model, settings, output, landmarks_path, values)
    total, run, results = _results(swapping, frames, output, values, share)
    own = list(tqdm(results, "swap", total, unit="image", bar_format=command.BAR))
    if not share.is_first:
        tally = command.Tally()
        _count(tally, own)
        return tally.status(values.strict)
    of_all = run.results if isinstance(run, FolderSwapping) else None
    all_results = own if of_all is None or of_all.all is None else of_all.all
    tally = command.Tally()
    swapped, earlier = _count(tally, all_results)
    command.print_summary(tally.counts, tally.failures, output / RESULTS_FILE)
    if earlier:
        print(f"of the video that an earlier run finished, {earlier} frames failed")
    if of_all is not None and of_all.lost:
        say(explain_lost(of_all.lost))
        return command.SOME_FAILED
    return tally.status(values.strict) if swapped and not earlier else command.SOME_FAILED


def _count(tally: Any, results: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """Takes note of frames; gives how many are swapped, and how many failed in an earlier run.

    Args:
        tally: a ``command.Tally``.
        results: lines of ``results.jsonl``.
    """
    swapped, earlier = 0, 0
    for result in results:
        swapped += result["status"] == "done" or result["reason"] == EARLIER
        earlier += result.get("frames", {}).get("failed", 0)
        of_video = (result["reason"] or "").endswith((NONE_SWAPPED, LOST))
        tally.add(result, "video" if of_video else f"frame {result['number']}")
    return swapped, earlier


def _check_part(values: Any) -> None:
    """UserError for an end before the start, and for flags of videos with a directory."""
    if values.end is not None and values.end <= values.start:
        raise UserError(
            f"got --start={values.start:g} --end={values.end:g}; expected the end behind the "
            "start; correct them"
        )
    chosen = VideoOptions(values.codec, values.crf, values.start, values.end, values.drop_alpha)
    if Path(values.frames).is_dir() and chosen != USUAL:
        raise UserError(
            f"got --{' and --'.join(chosen.chosen())} with a directory of frames; expected them "
            "with a video file; drop them"
        )


def _swapping(
    model: Swapper,
    settings: Settings,
    output: Path,
    landmarks_path: Path | None,
    values: Any,
) -> FrameSwapping:
    """One face along its track, or all people, each with a source of its own."""
    smoothing = SMOOTHING if values.smooth else None
    if of_people(values, settings):
        return open_people(PeopleSwapping, model, values, settings, landmarks_path, smoothing)
    source = Path(values.source)
    if values.source.startswith(SAMPLE):
        read_seed(values.source)
        assert isinstance(model, FaceSampler), "every swapper that is loaded draws faces"
        source = write_sample(model, values.source, make_output(values.output))
        settings = dataclasses.replace(settings, aligned_source=True)
    return FrameSwapping(model, settings, source, landmarks_path, smoothing)


def _results(
    swapping: FrameSwapping, frames: Path, output: Path, values: Any, share: Share
) -> tuple[int | None, FolderSwapping | VideoSwapping, Results]:
    """Number of frames, where that is known, the run, and the results that come of it."""
    if frames.is_dir():
        if output.resolve() == frames.resolve():
            raise UserError(f"got --output={output}, where the frames lie; name another directory")
        files = numbered_files(frames)
        make_output(values.output)
        folder = FolderSwapping(swapping, output, values.fps)
        count = len(range(share.index, len(files), share.count))
        return count, folder, folder.run(files, values.batch_size, share)
    if not share.alone:
        raise UserError(
            f"got --frames={frames}, a video, and several processes; expected a directory of "
            "frames, as one process writes a video; start one"
        )
    options = VideoOptions(values.codec, values.crf, values.start, values.end, values.drop_alpha)
    run = VideoSwapping(swapping, output, frames, options)
    make_output(values.output)
    known = None if values.start or values.end else count_frames(frames)
    return known, run, run.run(values.batch_size)


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    command.define_flags()
    flags.adopt_module_key_flags(command)
    command_line.DEFINE_path(
        "source",
        None,
        "Photo of the face to put in; or sample:SEED, a person who does not exist (with --face=all "
        "one for every person of the video).",
        bucket="read",
    )
    command_line.DEFINE_path(
        "frames", None, "Directory of frames, or a video.", required=True, bucket="read"
    )
    flags.DEFINE_float("fps", 25.0, "Frames of a directory a second.", lower_bound=0.001)
    flags.DEFINE_boolean("smooth", True, "Smooth landmarks over time.")
    flags.DEFINE_enum("codec", None, list(CODECS), "Of a video; H.264, in WebM VP9.")
    flags.DEFINE_integer(
        "crf", None, "Constant rate factor of a video: lower is better and larger.", 0, 63
    )
    flags.DEFINE_float("start", 0.0, "Seconds of a video from which frames count.", 0.0)
    flags.DEFINE_float("end", None, "Seconds of a video from which frames do not count.", 0.0)
    flags.DEFINE_boolean("drop_alpha", False, "Leave out the transparency of frames.")
    flags.DEFINE_boolean("masks", False, "Write the masks and a manifest, to train detectors with.")
    distributed.define_flags("Swap")
    flags.adopt_module_key_flags(distributed)


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
