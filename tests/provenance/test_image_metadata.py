"""What outputs say of themselves: metadata in every format, and the mark that infer puts in."""

import datetime
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from alrl_jax.commands.verify_image import verify
from alrl_jax.inference.settings import Settings
from alrl_jax.inference.swapping import Swapping
from alrl_jax.photos.pair_list import PairFiles
from alrl_jax.provenance import image_metadata
from alrl_jax.provenance.watermark import codec
from alrl_jax.utils.files import remove_leftovers
from tests.conftest import RunCli
from tests.provenance.test_watermark import scene
from tests.support.fakes import FakeSwapper

HASH = "0123abcd" * 8
TIME = "2026-11-23T12:00:00+00:00"


def swapped(folder: Path, target: np.ndarray, **settings: Any) -> tuple[Path, dict[str, Any]]:
    """One swap's output and sidecar."""
    Image.fromarray(target).save(folder / "t.png")
    Image.fromarray(scene(64, 64)).save(folder / "s.png")
    (folder / "out").mkdir(exist_ok=True)
    run = Swapping(FakeSwapper(16), Settings(aligned=True, **settings), folder / "out")
    (result,) = run.run([PairFiles(folder / "s.png", folder / "t.png")], 1)
    assert result["status"] == "done"
    path = folder / "out" / result["output"]
    return path, json.loads(path.with_suffix(".json").read_text())


def test_outputs_are_marked_unless_the_user_says_no(tmp_path: Path) -> None:
    path, sidecar = swapped(tmp_path, scene(256, 320))
    found = verify(path)
    assert found["marked"] and found["payload"] == sidecar["watermark"]["payload"]
    assert found["payload"]["model"] == sidecar["model"]["sha256"][:8]
    assert found["metadata"]["time"] == sidecar["time"]
    assert sidecar["watermark"]["readable"] and sidecar["watermark"]["psnr"] >= 42
    assert sidecar["settings"]["mark"] is True

    path, sidecar = swapped(tmp_path, scene(256, 320), mark=False)
    found = verify(path)
    assert found["marked"] is False and found["payload"] is None
    assert found["metadata"]["modelSHA256"] == sidecar["model"]["sha256"]
    assert sidecar["settings"]["mark"] is False and "--nomark" in sidecar["watermark"]["reason"]


def test_small_outputs_carry_metadata_only(tmp_path: Path) -> None:
    path, sidecar = swapped(tmp_path, scene(255, 300))
    assert not verify(path)["marked"] and "256 px" in sidecar["watermark"]["reason"]
    assert verify(path)["metadata"]["digitalSourceType"] == image_metadata.DIGITAL_SOURCE_TYPE


def test_mark_outlives_the_metadata(tmp_path: Path) -> None:
    path, sidecar = swapped(tmp_path, scene(300, 256))
    with Image.open(path) as image:
        image.convert("RGB").save(tmp_path / "shared.jpg", quality=70)
    found = verify(tmp_path / "shared.jpg")
    assert found["metadata"] == {} and found["payload"] == sidecar["watermark"]["payload"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_metadata_is_read_from_every_format(tmp_path: Path, suffix: str) -> None:
    fields = image_metadata.metadata(HASH, time=TIME) | {"note": "<&\"'>"}
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        image_metadata.write_png(path, scene(40, 60), fields)
    else:
        Image.fromarray(scene(40, 60)).save(path, xmp=image_metadata.xmp_packet(fields).encode())
    assert image_metadata.read_metadata(path) == fields
    with Image.open(path) as image:
        assert image.size == (60, 40)


def test_packet_is_xml_with_the_vocabulary_of_iptc() -> None:
    packet = image_metadata.xmp_packet(image_metadata.metadata(HASH, time=TIME))
    found = {k: v for node in ElementTree.fromstring(packet).iter() for k, v in node.items()}
    iptc = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert found[iptc] == image_metadata.DIGITAL_SOURCE_TYPE
    assert found["{http://ns.adobe.com/xap/1.0/}CreateDate"] == TIME


def test_packets_of_others_are_read(tmp_path: Path) -> None:
    packet = f"<Iptc4xmpExt:DigitalSourceType>{image_metadata.GENERATED_SOURCE_TYPE}</x>"
    Image.fromarray(scene(40, 40)).save(tmp_path / "a.jpg", xmp=packet.encode())
    expected = {"digitalSourceType": image_metadata.GENERATED_SOURCE_TYPE}
    assert verify(tmp_path / "a.jpg")["metadata"] == expected


def test_leftovers_of_odd_names_stay(tmp_path: Path) -> None:
    (tmp_path / ".a.png.\u00b2.tmp").write_bytes(b"")
    (tmp_path / ".a.png.999999999.tmp").write_bytes(b"")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".a.png.\u00b2.tmp"]


def test_command_prints_a_line_a_file(run_cli: RunCli, tmp_path: Path) -> None:
    day = datetime.date(2026, 11, 23)
    marked, record = codec.mark(scene(256, 256), HASH, day, wanted=True)
    Image.fromarray(marked).save(tmp_path / "a.png")
    Image.fromarray(scene(100, 90)).save(tmp_path / "b.jpg")
    (tmp_path / "broken.png").write_bytes(b"x")
    names = ("a.png", "broken.png", "b.jpg")
    done = run_cli("tools.verify_image", *(str(tmp_path / name) for name in names))
    assert done.returncode == 2
    one, broken, other = (json.loads(line) for line in done.stdout.splitlines())
    assert set(broken) == {"file", "error"} and "broken.png" in broken["file"]
    assert one["marked"] and one["payload"] == record["payload"] and one["metadata"] == {}
    assert not other["marked"] and other["payload"] is None and other["c2pa"] is None
