"""Files of strangers: what is opened, and what is refused at once."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from alrl_jax.utils.opening import OddFileError, count_scans, open_image, open_regular, parse_json
from alrl_jax.utils.printing import MOST_CHARACTERS, one_line


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link", "."):
        with pytest.raises(OddFileError, match="not a regular file"):
            open_regular(tmp_path / name)
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(OddFileError, match="5 bytes; expected at most 4"):
        open_regular(tmp_path / "file", 4)
    with open_regular(tmp_path / "file", 5) as file:
        assert file.read() == b"12345"


def test_no_other_decoder_is_asked(tmp_path: Path) -> None:
    """Pillow would hand PostScript to a program, whatever the file is called."""
    Image.new("RGB", (32, 32)).save(tmp_path / "holiday.jpg", "EPS")
    with pytest.raises(OSError), open_image(tmp_path / "holiday.jpg"):
        pass


@pytest.mark.parametrize("progressive", [False, True])
def test_scans_are_counted(progressive: bool) -> None:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "\xff\xda" * 99  # what looks like a scan within a segment is none
    image = Image.effect_noise((64, 64), 50).convert("RGB")
    image.save(stream, "JPEG", progressive=progressive, exif=exif, quality=95)
    assert count_scans(stream.getvalue(), 1000) == (10 if progressive else 1)
    assert count_scans(stream.getvalue() * 2, 1000) == (10 if progressive else 1)


def test_json_has_the_numbers_and_the_depth_that_python_can_read() -> None:
    assert parse_json('{"a": [1, 2.5]}') == {"a": [1, 2.5]}
    for text in ('{"a": NaN}', '{"a": Infinity}', "[" * 200_000, '{"a": ' + "1" * 5000 + "}"):
        with pytest.raises(ValueError):
            parse_json(text)


def test_a_line_is_one_line() -> None:
    assert one_line("got a\n  expected b\n\n") == "got a; expected b"
    assert one_line("\x1b[31mred\x07 M\xfcller \u202e \udcff") == (
        r"\x1b[31mred\x07 M" + "\xfc" + r"ller \u202e \udcff"
    )
    long = one_line("got " + "x" * 5_000_000 + "; take another")
    assert len(long) <= MOST_CHARACTERS and long.endswith("; take another")
    assert len(one_line("\x1b" * 5_000_000)) <= MOST_CHARACTERS
