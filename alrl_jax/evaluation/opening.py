"""Opens the models and judges that users name, and describes them for the protocol."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alrl_jax.errors import UserError
from alrl_jax.evaluation import fid
from alrl_jax.evaluation.frozen import FROZEN_ROWS
from alrl_jax.evaluation.judges import Judges, describe_input
from alrl_jax.evaluation.photos import GALLERY, pictures_sha256
from alrl_jax.evaluation.presets import (
    ROLES,
    Preset,
    check_judges,
    flag,
    preset_of,
)
from alrl_jax.evaluation.rows import REFERENCE_ROWS
from alrl_jax.loading import load
from alrl_jax.loading.protocols import Described, Judge, Swapper
from alrl_jax.photos.file_trees import list_images
from alrl_jax.photos.found_face import FACE_BOX_TO_CROP, FACE_BOX_UP
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.provenance import lineage
from alrl_jax.provenance.model_card import read_record
from alrl_jax.utils import hashing
from alrl_jax.utils.user_cache import cache_directory

DETECTORS = {
    "blazeface": "FFHQ's crop from Face Mesh's landmarks of what BlazeFace (full range) finds, "
    "upright or turned, largest face",
    "cascade": "scikit-image's frontal-face cascade of local binary patterns, largest face; "
    f"upright square of {FACE_BOX_TO_CROP} times its box, {FACE_BOX_UP} of it higher; no landmarks",
    "file": "FFHQ's crop from landmarks in a file, largest face",
    "mediapipe": "FFHQ's crop from MediaPipe's landmarks, largest face",
    "yunet": "FFHQ's crop from YuNet's five landmarks, largest face",
}
"""How a face is found and cropped, by key of ``landmarks.LANDMARK_SOURCES``.

Evaluations are comparable where these texts are equal: they stay as they are.
"""
CENTRE = "none: pictures are face crops; the largest centred square"


def describe_model(directory: str, model: Described) -> dict[str, Any]:
    """Name, kind and hash of a model, for the protocol."""
    sha256 = hashing.variables_sha256(model.variables)
    return {"name": lineage.name_of(directory), "kind": model.kind, "sha256": sha256}


def describe_training(directory: str) -> dict[str, Any]:
    """Command, seed and steps of the run that made a model; None where there is no record."""
    source = read_record(directory)["source"] or {}
    return {name: source.get(name) for name in ("command", "seed", "steps")}


def describe_trained(
    directory: str, model: Described, judge_directory: str, judge: Judge
) -> dict[str, Any]:
    """A model, the run that made it, and whether that run used the judge.

    ``owners_like_first`` is the correlation of its ownership of codes with that which its run began
    with: near 1, who owns a code is still what was drawn. None where the model does not say.
    """
    return {
        "model": describe_model(directory, model),
        "training": describe_training(directory),
        "owners_like_first": model.config.get("swap", {}).get("owners_like_first"),
        "judge_seen_in_training": seen_in_training(judge_directory, judge, directory, model),
    }


def named_directories(entries: Sequence[str]) -> dict[str, str]:
    """Directories by name, from entries ``NAME=DIR``.

    Raises:
        UserError: an entry without a name, or two of one.
    """
    found: dict[str, str] = {}
    for entry in entries:
        name, _, directory = entry.partition("=")
        if not (name and directory) or name in found:
            raise UserError(f"got {entry!r}; expected NAME=DIR, every name once; correct it")
        found[name] = directory
    return found


def check_beside(directory: str, model: Swapper, beside: Mapping[str, Swapper]) -> None:
    """Makes sure that other swappers can be measured with a model.

    Args:
        directory: of the model.
        model: a swapper.
        beside: the others by name.

    Raises:
        UserError: one has a name that is taken, or another resolution.
    """
    wanted = int(model.config["resolution"])
    for name, other in beside.items():
        if name in (*REFERENCE_ROWS, *FROZEN_ROWS, *model.selectors):
            raise UserError(
                f"got --beside={name}=..., the name of another row; expected one that no reference "
                "and no selection that is measured has; choose another, or leave that out of "
                "--selectors"
            )
        if (found := int(other.config["resolution"])) != wanted:
            raise UserError(
                f"got --beside={name}=... of {found} pixels; expected {wanted}, as {directory} "
                "has; name another swapper"
            )


def open_judges(protocol: str, directories: Mapping[str, str | None]) -> tuple[Preset, Judges]:
    """Opens the judges that are named, and finds their protocol.

    Args:
        protocol: key of ``presets.PROTOCOLS``.
        directories: model directory by role, None where none is named.

    Raises:
        UserError: a directory holds no model of a kind of this role, or the protocol cannot be
            measured with these judges.
    """
    preset = preset_of(protocol)
    # The kind, which is checked next, says the class.
    models: dict[str, Any] = {
        role: load(directory) for role, directory in directories.items() if directory
    }
    for role, model in models.items():
        if model.kind not in ROLES[role]:
            raise UserError(
                f"got {flag(role)}={directories[role]}, a model of kind {model.kind!r}; expected "
                f"{' or '.join(ROLES[role])}; name another directory"
            )
    check_judges(protocol, {role: model.kind for role, model in models.items()})
    return preset, Judges(**models)


def open_second_judge(directory: str | None) -> Any:
    """The judge of rendered pairs that knows identities alone; None where none is named.

    Raises:
        UserError: the directory holds a model of another kind.
    """
    if directory is None:
        return None
    model, kinds = load(directory), ("arcface", "iresnet")
    if model.kind not in kinds:
        raise UserError(
            f"got --identity_judge={directory}, a model of kind {model.kind!r}; expected "
            f"{' or '.join(kinds)} beside --judge, which reads factors; name another directory"
        )
    return model


def describe_judges(
    judged_by: Judges,
    directories: Mapping[str, str | None],
    preset: Preset,
    model_directory: str,
    model: Described,
) -> dict[str, Any]:
    """Describes the judges, and whether the model was trained with one of them.

    Args:
        judged_by: the judges.
        directories: model directory of every judge, by role.
        preset: the protocol.
        model_directory: directory of the model that they measure.
        model: the model.

    Returns:
        Fields of the protocol: ``judges`` by role (None of those that are not given),
        ``judges_sha256``, and ``judge_seen_in_training``: whether any of them was; None where there
        is no judge, or no record of what the model was trained with.
    """
    described: dict[str, Any] = dict.fromkeys(ROLES)
    for role, judge in judged_by.given().items():
        directory = str(directories[role])
        known = lineage.entry(directory)
        view = preset.views[judge.kind] if role == "identity" else "whole"
        described[role] = {
            **describe_model(directory, judge),
            "weights_sha256": known["sha256"],
            **{name: known[name] for name in ("licence", "project", "file")},
            "architecture": judge.config,
            "sees": describe_input(role, judge, view),
            "faces_cut_out": preset.masked and role == "identity",
            "seen_in_training": seen_in_training(directory, judge, model_directory, model),
        }
    given = {role: each for role, each in described.items() if each is not None}
    return {
        "judges": described,
        "judges_sha256": {role: each["sha256"] for role, each in given.items()},
        "judge_seen_in_training": _any([each["seen_in_training"] for each in given.values()]),
    }


def seen_in_training(
    directory: str, judge: Described, model_directory: str, model: Described
) -> bool | None:
    """Whether a judge is a network that a model was trained with; see ``lineage.used_by``."""
    ancestors = lineage.known_ancestors(model_directory)
    return lineage.used_by(lineage.entry(directory), judge.variables, ancestors, model.variables)


def _any(answers: list[bool | None]) -> bool | None:
    if True in answers:
        return True
    return None if None in answers or not answers else False


def open_reference(directory: str | None, judged_by: Judges) -> fid.Statistics | None:
    """Statistics of the folder that FID compares with, from the user's cache where they are known.

    Raises:
        UserError: without Inception, or the folder holds fewer than two images that can be read.
    """
    if directory is None:
        return None
    if judged_by.inception is None:
        raise UserError(
            f"got --fid_reference={directory} without --inception; expected the directory of a "
            "converted Inception; name it"
        )
    folder = Path(directory).expanduser()
    names = list_images(folder) if folder.is_dir() else []
    if not names:
        raise UserError(
            f"got --fid_reference={folder}; expected a directory tree of images; check the path"
        )
    paths = [folder / name for name in names]
    return fid.measure_files(judged_by.inception, paths, cache_directory() / "fid")


def describe_pairs(
    pairs: list[PairFiles],
    origin: Path,
    seed: int | None,
    detector: str | None,
    landmarks: Path | None,
) -> dict[str, Any]:
    """The fields of the protocol that describe the photos.

    Args:
        pairs: the pairs that are measured.
        origin: the list or the folder that they are from.
        seed: seed of their draw from the folder; None of a list.
        detector: key of ``DETECTORS``; None where the photos are face crops.
        landmarks: the file that the detector reads.

    Raises:
        UserError: a photo cannot be read.
    """
    is_list = seed is None
    sources = len({pair.source.resolve() for pair in pairs})
    return {
        "benchmark": "pairs",
        "split": None,
        "seed": seed,
        "list": origin.name if is_list else None,
        "list_sha256": hashing.file_sha256(origin) if is_list else None,
        "folder": None if is_list else origin.resolve().name,
        "pictures_sha256": pictures_sha256(pairs),
        "num_pairs": len(pairs),
        "num_source_pictures": sources,
        "num_target_pictures": len({pair.target.resolve() for pair in pairs}),
        "gallery_size": sources,
        "gallery": GALLERY,
        "aligned": detector is None,
        "detector": CENTRE if detector is None else DETECTORS[detector],
        "detector_file_sha256": None if landmarks is None else hashing.file_sha256(landmarks),
    }


def describe_fid(
    judged_by: Judges, directory: str | None, reference: fid.Statistics | None, targets: int
) -> dict[str, Any] | None:
    """The images that FID compares with; None where it is not measured."""
    if judged_by.inception is None:
        return None
    if directory is None or reference is None:
        text = "the targets of the pairs as cropped, every file once"
        return {"pictures": text, "folder": None, "count": targets}
    text = "all images of a folder, as they are"
    return {"pictures": text, "folder": Path(directory).resolve().name, "count": reference.count}
