"""Signs an output with Content Credentials (C2PA), by a certificate of yours.

    alrl sign-image --picture=OUT.png --target=TARGET.jpg --output=SIGNED.png \\
        --certificates=chain.pem --key=key.pem

The target becomes the parent ingredient, and Content Credentials that it has are kept. Needs the
extra ``c2pa``. What the signed file says: ``alrl verify-image SIGNED.png``.
"""

from pathlib import Path
from typing import NoReturn

from absl import flags
from PIL import Image

from alrl_jax.errors import UserError
from alrl_jax.provenance import content_credentials
from alrl_jax.utils import command_line
from alrl_jax.utils.opening import open_image


def check_output(output: Path, photo: Path, target: Path) -> None:
    """That the signed file is one of its own, named as what it is.

    Raises:
        UserError: it would replace an input, or has the suffix of another format.
    """
    for name, path in (("picture", photo), ("target", target)):
        if output.resolve() == path.resolve():
            raise UserError(
                f"got --output={output}, which is --{name}; expected another file, as a sidecar's "
                "hash would no longer fit the signed one; choose another name"
            )
    try:
        with open_image(photo) as image:
            kind = "JPEG" if image.format == "MPO" else image.format
    except (OSError, ValueError) as error:
        raise UserError(
            f"got --picture={photo} ({error}); expected an image; check the path"
        ) from error
    if Image.registered_extensions().get(output.suffix.lower()) != kind:
        raise UserError(
            f"got --output={output} for an image in {kind}; expected a suffix of that format, as "
            f"signing does not convert; name it {output.stem}{photo.suffix}"
        )


def main(_: list[str]) -> int:
    """Signs what the flags name."""
    values = flags.FLAGS
    names = ("picture", "target", "output", "certificates", "key")
    paths = {name: Path(getattr(values, name)) for name in names}
    for name in set(names) - {"output"}:
        if not paths[name].is_file():
            raise UserError(f"got --{name}={paths[name]}; expected a file; check the path")
    check_output(paths["output"], paths["picture"], paths["target"])
    content_credentials.sign(**paths, algorithm=values.algorithm)
    print(paths["output"])
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    command_line.DEFINE_path("picture", None, "What was made: PNG, JPEG or WebP.", required=True)
    command_line.DEFINE_path("target", None, "The image it was made from.", required=True)
    command_line.DEFINE_path("output", None, "The signed file.", required=True)
    command_line.DEFINE_path("certificates", None, "PEM, your own first.", required=True)
    command_line.DEFINE_path("key", None, "PEM, private key of the first one.", required=True)
    algorithms = list(content_credentials.ALGORITHMS)
    flags.DEFINE_enum("algorithm", "es256", algorithms, "What the key is for.")


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)
