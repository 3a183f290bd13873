"""Where an image comes from: file hashes, and what is written into every PNG that a model draws.

This is metadata: whoever re-encodes the image may lose it; ``watermark`` is what stays. It
follows IPTC's vocabulary of digital source types, both as PNG text and as an XMP packet.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import quoteattr, unescape

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL.PngImagePlugin import PngInfo

from alrl_jax.utils import png, version
from alrl_jax.utils.files import write_files
from alrl_jax.utils.opening import open_image

DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
"""IPTC: a composite that contains media drawn by a trained algorithm."""
GENERATED_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC: drawn by a trained algorithm alone."""
RENDERED_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia"
"""IPTC: drawn by an algorithm that was not trained on anything."""
TOOL = version.PACKAGE
FIELDS = ("digitalSourceType", "tool", "version", "modelSHA256")
"""Of every image; ``time`` may stand beside them."""
_PREFIX = "alrl_jax:"
_XMP_KEY = "XML:com.adobe.xmp"
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:alrl="urn:alrl_jax:provenance"
    Iptc4xmpExt:DigitalSourceType={source_type}
    xmp:CreatorTool={tool}{more}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def metadata(
    model_sha256: str, source_type: str = DIGITAL_SOURCE_TYPE, time: str | None = None
) -> dict[str, str]:
    """The provenance fields of an image, ``FIELDS`` by name, and ``time`` where it is given.

    Args:
        model_sha256: see ``variables_sha256``.
        source_type: IPTC's term; the default is that of a swapped image.
        time: when the image was made, ISO 8601.
    """
    fields: dict[str, str] = dict(
        zip(FIELDS, (source_type, TOOL, version.tool_version(), model_sha256), strict=True)
    )
    return fields if time is None else fields | {"time": time}


def xmp_packet(fields: Mapping[str, str]) -> str:
    """The XMP packet of provenance fields: IPTC's and XMP's properties, and all of ours."""
    own = {f"alrl:{name}": value for name, value in fields.items() if name != "digitalSourceType"}
    if "time" in fields:
        own = {"xmp:CreateDate": fields["time"], **own}
    more = "".join(f"\n    {name}={quoteattr(value)}" for name, value in own.items())
    return _XMP.format(
        source_type=quoteattr(fields["digitalSourceType"]),
        tool=quoteattr(f"{fields['tool']} {fields['version']}"),
        more=more,
    )


def png_bytes(
    image: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
    fields: Mapping[str, str],
    icc_profile: bytes | None = None,
) -> bytes:
    """A PNG file of an image with provenance fields.

    Args:
        image: grey, RGB or RGBA, of 8 or 16 bits.
        fields: see ``metadata``; none are written where this is empty.
        icc_profile: colour profile of the image.
    """
    info = PngInfo()
    for name, value in fields.items():
        info.add_text(_PREFIX + name, value)
    if fields:
        info.add_text("Software", f"{fields['tool']} {fields['version']}")
        info.add_itxt(_XMP_KEY, xmp_packet(fields))
    return png.encode(image, info, icc_profile)


def write_png(
    path: Path,
    image: UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"],
    fields: Mapping[str, str],
    icc_profile: bytes | None = None,
) -> None:
    """Writes an image with provenance fields, all at once or not at all; see ``png_bytes``."""
    write_files({path: png_bytes(image, fields, icc_profile)})


def read_metadata(path: Path) -> dict[str, str]:
    """The provenance fields that an image carries; empty where there are none.

    They stand in PNG's text and in the XMP packet of PNG, JPEG and WebP files; a packet of others
    gives ``digitalSourceType`` alone.

    Raises:
        OSError: the file is no image that can be read.
    """
    with open_image(path) as image:
        image.load()
        text = {str(k): str(v) for k, v in image.info.items() if isinstance(v, str)}
        packet = image.info.get(_XMP_KEY) or image.info.get("xmp") or ""
    found = {k.removeprefix(_PREFIX): v for k, v in text.items() if k.startswith(_PREFIX)}
    if isinstance(packet, bytes):
        packet = packet.decode("utf-8", errors="replace")
    for name, _, value in re.findall(r"\balrl:(\w+)=([\"'])(.*?)\2", packet):
        found.setdefault(name, unescape(value, {"&quot;": '"'}))
    source_type = re.search(r"DigitalSourceType\s*(?:=\s*[\"']|>)\s*([^\"'<\s]+)", packet)
    if source_type:
        found.setdefault("digitalSourceType", source_type.group(1))
    return found
