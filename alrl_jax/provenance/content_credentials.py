"""Content Credentials (C2PA): signing with a certificate of the user's, and reading.

Needs the extra ``c2pa``. The package brings no certificate and no key: a signature means what the
user's certificate is trusted to mean. Credentials of the target stay in the signed image, as
those of its parent ingredient.
"""

import json
import mimetypes
from pathlib import Path
from typing import Any

from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.provenance import image_metadata
from alrl_jax.utils import version
from alrl_jax.utils.files import atomic_write
from alrl_jax.utils.opening import open_image

ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")


def sign(
    picture: Path, target: Path, output: Path, certificates: Path, key: Path, algorithm: str
) -> None:
    """Writes a signed copy of an image file, all at once or not at all.

    Args:
        picture: the image file to sign, called as the flag of the command; PNG, JPEG or WebP.
        target: the photo it was made from, recorded as its parent.
        output: the signed file, of the same format.
        certificates: PEM, the signer's certificate first, then those that lead to the root.
        key: PEM, PKCS #8, the private key of the first certificate.
        algorithm: one of ``ALGORITHMS``.

    Raises:
        UserError: the extra is not installed; certificate, key or a file cannot be used.
    """
    c2pa = _library()
    manifest = {
        "claim_generator_info": [{"name": image_metadata.TOOL, "version": version.tool_version()}],
        "title": output.name,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [_edited()]}}],
    }
    parent = {"title": target.name, "relationship": "parentOf"}
    try:
        info = c2pa.C2paSignerInfo(algorithm, certificates.read_bytes(), key.read_bytes(), None)
        with c2pa.Signer.from_info(info) as signer, c2pa.Builder(json.dumps(manifest)) as builder:
            builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
            with target.open("rb") as file:
                builder.add_ingredient(json.dumps(parent), _mime_type(target), file)
            with (
                atomic_write(output) as temporary,
                picture.open("rb") as source,
                temporary.open("w+b") as signed,
            ):
                builder.sign(signer, _mime_type(picture), source, signed)
    except c2pa.C2paError as error:
        raise UserError(
            f"got {picture} with certificate {certificates}, which C2PA refuses ({error}); "
            "expected a chain for signing documents and its key; see docs/provenance.md"
        ) from error


def read(photo: Path) -> dict[str, Any] | None:
    """The Content Credentials of an image file, and what the library's own reader finds.

    None where it has none, or where the extra ``c2pa`` is not installed. ``state`` is "Trusted",
    "Valid" (whole, but the signer is on no trust list) or "Invalid".
    """
    try:
        import c2pa
    except ImportError:
        return None
    try:
        with photo.open("rb") as file:
            reader = c2pa.Reader.try_create(_mime_type(photo), file)
            if reader is None:
                return None
            with reader:
                store, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError as error:
        return {"state": "Invalid", "error": str(error)}
    active = store["manifests"][store["active_manifest"]]
    ingredients = active.get("ingredients", [])
    signature = active.get("signature_info", {})
    return {
        "state": state,
        "problems": [status["code"] for status in store.get("validation_status", [])],
        "signer": {name: signature.get(name) for name in ("common_name", "issuer", "alg")},
        "actions": _actions(active),
        "parents": [i.get("title") for i in ingredients if i.get("relationship") == "parentOf"],
        "manifests": len(store["manifests"]),
    }


def _library() -> Any:
    try:
        import c2pa
    except ImportError:
        raise UserError(
            "got no package c2pa; expected it for signing; do pip install 'alrl_jax[c2pa]'"
        ) from None
    return c2pa


def _edited() -> dict[str, Any]:
    return {
        "action": "c2pa.edited",
        "digitalSourceType": image_metadata.DIGITAL_SOURCE_TYPE,
        "description": "A face was replaced by one that a trained algorithm drew.",
    }


def _actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Name and source type of the actions that a manifest records."""
    assertions = manifest.get("assertions", [])
    lists = [a["data"]["actions"] for a in assertions if a["label"].startswith("c2pa.actions")]
    keys = ("action", "digitalSourceType")
    return [{k: a[k] for k in keys if k in a} for actions in lists for a in actions]


def _mime_type(path: Path) -> str:
    """By the file's content; by its name where Pillow cannot read such images."""
    try:
        with open_image(path) as image:
            name = "JPEG" if image.format == "MPO" else image.format  # several JPEGs in one file
        kind = Image.MIME.get(name or "", "")
    except Exception:  # broken files make decoders raise nearly anything
        kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("image/"):
        raise UserError(f"got {path}; expected an image; take a PNG, JPEG or WebP file")
    return kind
