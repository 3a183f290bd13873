"""What a fake and its real counterpart go through alike: a window of the photo, and compression."""

import dataclasses
import io
from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from alrl_jax.photos.alignment import Alignment
from alrl_jax.utils.extras import importing
from alrl_jax.utils.opening import open_image

Pixels = UInt8[np.ndarray, "h w 3"]
Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Processing:
    """What was drawn for an item.

    Attributes:
        window: side of what is shown, over the side of the face's crop.
        shift: of its middle from the crop's, right and down, in sides of the crop.
        size: side of the picture in px.
        compression: of ``COMPRESSIONS``.
    """

    window: float
    shift: tuple[float, float]
    size: int
    compression: str


def _png(pixels: Pixels) -> Pixels:
    """Nothing is lost."""
    return pixels


def _jpeg(quality: int) -> Callable[[Pixels], Pixels]:
    """What a JPEG of a quality shows, by libjpeg's tables, colours at half resolution."""

    def compressed(pixels: Pixels) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=2)
        with open_image(file.getvalue(), ("JPEG",)) as image:
            return np.asarray(image.convert("RGB"))

    return compressed


def _h264(crf: int) -> Callable[[Pixels], Pixels]:
    """What one frame of H.264 shows, as in data sets of videos at this constant rate factor."""

    def compressed(pixels: Pixels) -> Pixels:
        missing = (
            f"got compression c{crf} without the package av; expected it for H.264; do "
            "pip install 'alrl_jax[video]', or leave c23 and c40 out of --compressions"
        )
        with importing("av", missing):
            import av
        height, width = pixels.shape[:2]
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.time_base, codec.thread_count = Fraction(1, 25), 1
        codec.options = {"crf": str(crf), "preset": "medium"}
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        frame.pts = 0
        packets = [*codec.encode(frame), *codec.encode(None)]
        reader = av.CodecContext.create("h264", "r")
        frames = [shown for packet in packets for shown in reader.decode(packet)]
        frames += reader.decode(None)
        return frames[0].to_ndarray(format="rgb24")

    return compressed


COMPRESSIONS: Mapping[str, Callable[[Pixels], Pixels]] = {
    "png": _png,
    "jpeg95": _jpeg(95),
    "jpeg75": _jpeg(75),
    "jpeg50": _jpeg(50),
    "c23": _h264(23),
    "c40": _h264(40),
}
"""What each makes of a picture. All are stored as PNG, so that the file tells nothing of it."""


def window_of(where: Alignment, size: tuple[int, int], processing: Processing) -> Box:
    """The square of a photo that is shown: left, top, right and bottom in px, all within it.

    Args:
        where: the crop of the face.
        size: width and height of the photo.
        processing: of the item.
    """
    inverse, resolution = np.linalg.inv(where.matrix), where.resolution
    middle = (inverse[:2] @ np.array([resolution / 2, resolution / 2, 1.0])).tolist()
    crop = resolution * float(np.linalg.norm(inverse[:2, 0]))
    side = min(processing.window * crop, float(min(size)))
    starts = [
        min(max(centre + shift * crop - side / 2, 0.0), limit - side)
        for centre, shift, limit in zip(middle, processing.shift, size, strict=True)
    ]
    return starts[0], starts[1], starts[0] + side, starts[1] + side


def cut(image: UInt8[np.ndarray, "h w c"], box: Box, size: int) -> UInt8[np.ndarray, "s s c"]:
    """A window at the size of the pictures; of a mask, which has one channel, without ringing."""
    if image.shape[2] == 1:
        mask = Image.fromarray(image[..., 0])
        resized = mask.resize((size, size), Image.Resampling.BILINEAR, box=box)
        return np.asarray(resized)[..., None]
    shown = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS, box=box)
    return np.asarray(shown)


def difference(a: Pixels, b: Pixels) -> UInt8[np.ndarray, "h w 1"]:
    """Largest absolute difference of the channels of two pictures, in levels."""
    apart = np.abs(a.astype(np.int16) - b.astype(np.int16)).max(axis=-1, keepdims=True)
    return apart.astype(np.uint8)
