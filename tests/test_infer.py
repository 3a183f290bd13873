"""Swapping lists of photos: outputs, failures, order, padding, provenance."""

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags
from PIL import Image, ImageCms

from alrl_jax import infer
from alrl_jax.commands.verify_image import verify
from alrl_jax.errors import UserError
from alrl_jax.inference.engine import Engine
from alrl_jax.inference.outputs import output_name
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.photos.alignment import ffhq
from alrl_jax.photos.face_photos import paste_faces
from alrl_jax.photos.pair_list import PairFiles, list_pairs, read_pairs
from alrl_jax.photos.paste import BLENDS, PasteOptions
from alrl_jax.photos.photo import read_photo
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import hashing, png
from tests.conftest import RunCli
from tests.support.fakes import OF_PHOTOS, PASTED, RESOLUTION, FakeSwapper

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def write_photo(path: Path, size: tuple[int, int], seed: int) -> Path:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def pairs_in(folder: Path, count: int) -> list[PairFiles]:
    return [
        PairFiles(
            write_photo(folder / f"s{i}.png", (20, 20), i),
            write_photo(folder / f"t{i}.png", (24 + i, 30), 100 + i),
        )
        for i in range(count)
    ]


def run(
    model: FakeSwapper, pairs: list[PairFiles], output: Path, batch_size: int = 8, **choices: Any
) -> list[dict[str, Any]]:
    output.mkdir(exist_ok=True)
    settings = Settings(aligned=True, **choices)
    return list(Swapping(model, settings, output).run(pairs, batch_size))


def test_outputs_have_the_targets_size_and_provenance(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path, 2)
    results = run(FakeSwapper(), pairs, tmp_path / "out")
    assert [r["status"] for r in results] == ["done", "done"]
    for i, result in enumerate(results):
        path = tmp_path / "out" / result["output"]
        assert pixels(path).shape == (24 + i, 30, 3)
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["output"]["sha256"] == hashing.file_sha256(path)
        assert sidecar["source"]["sha256"] == hashing.file_sha256(pairs[i].source)
        assert sidecar["settings"]["pose_from"] == "target"
        fields = verify(path)
        assert fields["metadata"]["digitalSourceType"] == image_metadata.DIGITAL_SOURCE_TYPE
        assert fields["metadata"]["modelSHA256"] == sidecar["model"]["sha256"]
        assert fields["marked"] is False and fields["c2pa"] is None
        assert b"Iptc4xmpExt:DigitalSourceType" in path.read_bytes()


def test_outside_the_crop_the_target_is_untouched(tmp_path: Path) -> None:
    source = write_photo(tmp_path / "s.png", (16, 16), 0)
    target = write_photo(tmp_path / "t.png", (16, 40), 1)
    (result,) = run(FakeSwapper(), [PairFiles(source, target)], tmp_path / "out")
    before = pixels(target)
    after = pixels(tmp_path / "out" / result["output"])
    np.testing.assert_array_equal(after[:, :16], before[:, :16])
    np.testing.assert_array_equal(after[:4], before[:4])
    swapped = pixels(source)[4:12, 4:12]
    np.testing.assert_array_equal(after[4:12, 16:24], swapped)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_results_do_not_depend_on_batches(tmp_path: Path, batch_size: int) -> None:
    pairs = pairs_in(tmp_path, 11)
    model = FakeSwapper()
    results = run(model, pairs, tmp_path / "out", batch_size)
    assert [r["number"] for r in results] == list(range(11))
    assert len({r["output"] for r in results}) == 11
    assert len({call["shape"] for call in model.calls}) == 1, "one shape, one compilation"
    alone = run(FakeSwapper(), [pairs[10]], tmp_path / "alone")
    one = pixels(tmp_path / "alone" / alone[0]["output"])
    np.testing.assert_array_equal(pixels(tmp_path / "out" / results[10]["output"]), one)


def test_batches_lie_on_all_devices(tmp_path: Path) -> None:
    import jax

    model = FakeSwapper()
    run(model, pairs_in(tmp_path, 3), tmp_path / "out")
    array = model.calls[0]["array"]
    assert array.shape[0] == 8 and len(array.sharding.device_set) == jax.device_count() == 8


def test_failures_are_reported_and_the_run_goes_on(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path, 4)
    pairs[1].source.write_bytes(b"no photo")
    pairs[2].target.unlink()
    results = run(FakeSwapper(), pairs, tmp_path / "out")
    assert [r["status"] for r in results] == ["done", "failed", "failed", "done"]
    assert results[1]["reason"].startswith("source: ")
    assert results[2]["reason"] == "target: No such file or directory"
    assert results[1]["output"] is None
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == results
    assert (tmp_path / "out" / results[0]["source"]).resolve() == pairs[0].source.resolve()
    assert not list((tmp_path / "out").glob(".*tmp"))


def test_numbers_that_are_not_finite_fail_their_pair(tmp_path: Path) -> None:
    class Broken(FakeSwapper):
        def swap(self, *args: Any, **kwargs: Any) -> Any:
            output = super().swap(*args, **kwargs)
            return output.replace(generated=output.generated.at[1, 0, 0, 0].set(np.nan))

    results = run(Broken(), pairs_in(tmp_path, 2), tmp_path / "out")
    assert [r["status"] for r in results] == ["done", "failed"]
    assert "finite" in results[1]["reason"]


def test_finished_pairs_are_skipped(tmp_path: Path) -> None:
    pairs = pairs_in(tmp_path, 3)
    run(FakeSwapper(), pairs, tmp_path / "out")
    write_photo(pairs[1].target, (25, 30), 999)
    model = FakeSwapper()
    results = run(model, pairs, tmp_path / "out")
    assert [r["status"] for r in results] == ["skipped", "done", "skipped"]
    assert all((tmp_path / "out" / r["output"]).is_file() for r in results)
    again = run(FakeSwapper(), pairs, tmp_path / "out", pose_from="source")
    assert [r["status"] for r in again] == ["done"] * 3


def test_a_list_may_grow(tmp_path: Path) -> None:
    """Names do not depend on its length: what is finished stays, and is not made again."""
    pairs = pairs_in(tmp_path, 12)
    first = run(FakeSwapper(), pairs[:2], tmp_path / "out")
    more = run(FakeSwapper(), pairs, tmp_path / "out")
    assert [r["status"] for r in more] == ["skipped"] * 2 + ["done"] * 10
    assert [r["output"] for r in more[:2]] == [r["output"] for r in first]
    assert [r["output"][:7] for r in more] == [f"{i:06d}_" for i in range(12)]
    assert output_name(1234567, pairs[0]) == "1234567_s0_to_t0.png"


def test_same_names_do_not_collide(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, two = (
        write_photo(tmp_path / "a/x.png", (16, 16), 1),
        write_photo(tmp_path / "b/x.png", (16, 16), 2),
    )
    results = run(FakeSwapper(), [PairFiles(one, two), PairFiles(two, one)], tmp_path / "out")
    assert results[0]["output"] != results[1]["output"]
    odd = output_name(7, PairFiles(Path("naïve face.jpg"), Path("../b c.png")))
    assert odd == "000007_na_ve_face_to_b_c.png"


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    source = write_photo(tmp_path / "s.png", (16, 16), 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(tmp_path / "t.jpg", exif=exif)
    (result,) = run(FakeSwapper(), [PairFiles(source, tmp_path / "t.jpg")], tmp_path / "out")
    assert pixels(tmp_path / "out" / result["output"]).shape == (40, 20, 3)


def test_csv_paths_are_relative_to_the_csv(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    file = tmp_path / "lists" / "pairs.csv"
    file.write_text("source,target,note\n../a.png,b.png,x\n\n/abs/c.png, d e.png ,y\n")
    assert read_pairs(file) == [
        PairFiles(tmp_path / "lists/../a.png", tmp_path / "lists/b.png"),
        PairFiles(Path("/abs/c.png"), tmp_path / "lists/d e.png"),
    ]


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"source,target\n", b"source,target\nx.png\n", b"\xff\xfe\x00"]
)
def test_bad_lists_are_the_users_mistake(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pairs.csv").write_bytes(content)
    with pytest.raises(UserError, match="expected|save it"):
        read_pairs(tmp_path / "pairs.csv")


def test_flags_name_one_way(tmp_path: Path) -> None:
    there = str(write_photo(tmp_path / "a.png", (16, 16), 0))
    for choice in ((None, None, None), (None, there, None), ("x.csv", there, None)):
        with pytest.raises(UserError):
            list_pairs(*choice)
    with pytest.raises(UserError, match="none.png"):
        list_pairs(None, there, str(tmp_path / "none.png"))
    assert list(list_pairs(None, there, there).pairs) == [PairFiles(Path(there), Path(there))]


def test_main_ends_with_3_when_a_pair_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs_in(tmp_path, 2)
    (tmp_path / "p.csv").write_text("source,target\ns0.png,t0.png\ns1.png,none.png\n")
    monkeypatch.setattr(infer, "load_swapper", lambda directory: FakeSwapper())
    values = {
        "model": "m",
        "pairs": str(tmp_path / "p.csv"),
        "source": None,
        "target": None,
        **OF_PHOTOS,
        "output": str(tmp_path / "out"),
        **PASTED,
        "aligned": True,
        "batch_size": 4,
    }
    monkeypatch.setattr(flags, "FLAGS", types.SimpleNamespace(**values))
    assert infer.main(["infer"]) == 3
    assert "1 done, 1 failed" in capsys.readouterr().out


def test_missing_model_is_one_line(run_cli: RunCli, tmp_path: Path) -> None:
    there = str(write_photo(tmp_path / "a.png", (16, 16), 0))
    done = run_cli(
        "alrl_jax.infer",
        f"--model={tmp_path / 'none'}",
        f"--source={there}",
        f"--target={there}",
        f"--output={tmp_path / 'out'}",
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_portrait_and_synthetic_face(tmp_path: Path) -> None:
    """A real photograph goes through; nothing of it leaves the temporary folder."""
    data = pytest.importorskip("skimage.data")
    photo = data.astronaut()
    Image.fromarray(photo).save(tmp_path / "target.png")
    write_photo(tmp_path / "source.png", (64, 64), 3)
    model = FakeSwapper(32)
    (tmp_path / "out").mkdir()
    settings = Settings(aligned_source=True, mark=False)
    swapping = Swapping(model, settings, tmp_path / "out")
    pair = PairFiles(tmp_path / "source.png", tmp_path / "target.png")
    (result,) = swapping.run([pair], 4)
    assert result["status"] == "done"
    after = pixels(tmp_path / "out" / result["output"])
    assert after.shape == photo.shape
    changed = np.argwhere((after != photo).any(-1))
    assert 0.01 < len(changed) / photo[..., 0].size < 0.2
    assert changed.min(0).min() > 20 and changed[:, 0].max() < 230, "only the face changes"


def test_no_face_fails_the_pair(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    Image.new("RGB", (200, 200), "white").save(tmp_path / "blank.png")
    (tmp_path / "out").mkdir()
    settings = Settings(landmarks_from="cascade")
    swapping = Swapping(FakeSwapper(), settings, tmp_path / "out")
    pair = PairFiles(tmp_path / "blank.png", tmp_path / "blank.png")
    (result,) = swapping.run([pair], 4)
    assert result["status"] == "failed" and "no face found" in result["reason"]


FIVE = [[12.0, 14], [26, 13], [19, 20], [14, 27], [25, 26]]


def listed(folder: Path, name: str, faces: dict[str, Any]) -> Path:
    (folder / name).write_text(json.dumps(faces))
    return folder / name


def from_file(folder: Path, faces: dict[str, Any], **choices: Any) -> Swapping:
    """A run that takes its landmarks from a file."""
    settings = Settings(landmarks_from="file", **choices)
    (folder / "out").mkdir(exist_ok=True)
    path = listed(folder, "faces.json", faces)
    return Swapping(FakeSwapper(), settings, folder / "out", path)


def test_faces_from_a_file_and_photos_without(tmp_path: Path) -> None:
    pairs = [PairFiles(p.source, write_photo(p.target, (48, 40), 9)) for p in pairs_in(tmp_path, 4)]
    faces = {f"s{i}.png": np.array(FIVE) / 2 for i in range(4)} | {"t0.png": FIVE, "t1.png": []}
    faces["t3.png"] = FIVE[:3]
    swapping = from_file(tmp_path, {k: np.asarray(v).tolist() for k, v in faces.items()})
    results = list(swapping.run(pairs, 4))
    assert [r["status"] for r in results] == ["done", "failed", "failed", "failed"]
    assert results[1]["reason"].startswith("target: no face found")
    assert results[2]["reason"].startswith("target: no landmarks of it in faces.json")
    assert results[3]["reason"].startswith("target: 3 landmarks")
    assert pixels(tmp_path / "out" / results[0]["output"]).shape == (48, 40, 3)
    sidecar = json.loads((tmp_path / "out" / results[0]["output"]).with_suffix(".json").read_text())
    alignment = ffhq(np.array(FIVE) + 0.5, RESOLUTION)
    np.testing.assert_allclose(sidecar["target"]["photo_to_crop"], alignment.matrix)


@pytest.mark.parametrize(("face", "count"), [("all", 3), ("largest", 1), ("1", 1)])
def test_several_faces_of_a_target(tmp_path: Path, face: str, count: int) -> None:
    """More faces than fit a batch; the same shape all the same."""
    source = write_photo(tmp_path / "s.png", (20, 20), 0)
    targets = [write_photo(tmp_path / f"t{i}.png", (60, 120), i) for i in range(4)]
    three = [(np.array(FIVE) * (1 + (i == 2) / 4) + [40 * i, 0]).tolist() for i in range(3)]
    swapping = from_file(tmp_path, {t.name: three for t in targets}, face=face, aligned_source=True)
    results = list(swapping.run([PairFiles(source, target) for target in targets], 8))
    assert [r["status"] for r in results] == ["done"] * 4
    assert len({call["shape"] for call in swapping.model.calls}) == 1
    assert len(swapping.model.calls) == (2 if face == "all" else 1)
    for target, result in zip(targets, results, strict=True):
        path = tmp_path / "out" / result["output"]
        places = json.loads(path.with_suffix(".json").read_text())["target"]["all_photo_to_crop"]
        assert len(places) == count
        changed = (pixels(path) != pixels(target)).any(-1)[12:22].mean(0)
        found = [changed[40 * i + 15 : 40 * i + 25].mean() > 0.5 for i in range(3)]
        assert found == [
            face == "all" or face == "1" and i == 1 or face == "largest" and i == 2
            for i in range(3)
        ]


@pytest.mark.parametrize("channels", [3, 4])
def test_depth_alpha_and_profile_stay(tmp_path: Path, channels: int) -> None:
    rng = np.random.default_rng(1)
    deep = rng.integers(0, 65536, (30, 26, channels), dtype=np.uint16)
    (tmp_path / "t.png").write_bytes(png.encode(deep, icc_profile=PROFILE))
    pair = PairFiles(write_photo(tmp_path / "s.png", (16, 16), 0), tmp_path / "t.png")
    (result,) = run(FakeSwapper(), [pair], tmp_path / "out")
    before, after = (read_photo(p) for p in (pair.target, tmp_path / "out" / result["output"]))
    assert after.colour.dtype == np.uint16 and after.colour.shape == before.colour.shape
    assert after.icc_profile == PROFILE
    np.testing.assert_array_equal(after.alpha, before.alpha)
    assert (after.colour != before.colour).any()


@pytest.mark.parametrize("blend", BLENDS)
def test_a_model_that_gives_the_target_back_changes_nothing(tmp_path: Path, blend: str) -> None:
    """Through the compiled model and back into a larger, turned place: every bit."""
    target = write_photo(tmp_path / "t.png", (60, 70), 4)
    pair = PairFiles(write_photo(tmp_path / "s.png", (16, 16), 0), target)
    turned = (np.array(FIVE) @ [[0.9, 0.4], [-0.4, 0.9]] + [20, 5]).tolist()
    options = PasteOptions(blend, colour_match=True)
    swapping = from_file(
        tmp_path,
        {"t.png": turned},
        aligned_source=True,
        identity_from="target",
        paste=options,
    )
    job = swapping.prepare((0, pair))
    assert job.target is not None
    (face,) = Engine(swapping.model, swapping.settings, 8).swap(job.places)
    pasted = paste_faces(job.target, [(face.generated, face.mask)], options)
    np.testing.assert_array_equal(pasted, pixels(target))
    assert (face.mask > 0).any()


def test_bad_landmark_file_is_one_line(tmp_path: Path, run_cli: RunCli) -> None:
    there = str(write_photo(tmp_path / "a.png", (16, 16), 0))
    bad = listed(tmp_path, "bad.json", {"a.png": [[1, 2, 3]]})
    done = run_cli(
        "alrl_jax.infer",
        "--model=embedded/swapper_64",
        f"--source={there}",
        f"--target={there}",
        f"--output={tmp_path / 'out'}",
        "--landmarks_from=file",
        f"--landmarks_path={bad}",
    )
    assert done.returncode == 2 and "bad.json" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists(), "nothing is written"
