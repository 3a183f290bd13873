"""Signs an output with Content Credentials (C2PA), by a certificate of yours.

    python -m tools.sign_image --picture=OUT.png --target=TARGET.jpg --output=SIGNED.png \\
        --certificates=chain.pem --key=key.pem

The target becomes the parent ingredient, and Content Credentials that it has are kept. Needs the
extra ``c2pa``. What the signed file says: ``python -m tools.verify_image SIGNED.png``.
"""

from pathlib import Path

from absl import flags

from alrl_jax import command_line, content_credentials
from alrl_jax.errors import UserError


def main(_: list[str]) -> int:
    """Signs what the flags name."""
    values = flags.FLAGS
    names = ("picture", "target", "output", "certificates", "key")
    paths = {name: Path(getattr(values, name)) for name in names}
    for name in set(names) - {"output"}:
        if not paths[name].is_file():
            raise UserError(f"got --{name}={paths[name]}; expected a file; check the path")
    content_credentials.sign(**paths, algorithm=values.algorithm)
    print(paths["output"])
    return 0


def cli() -> None:
    """Defines the flags and runs."""
    flags.DEFINE_string("picture", None, "What was made: PNG, JPEG or WebP.", required=True)
    flags.DEFINE_string("target", None, "The picture it was made from.", required=True)
    flags.DEFINE_string("output", None, "The signed file.", required=True)
    flags.DEFINE_string("certificates", None, "PEM, your own first.", required=True)
    flags.DEFINE_string("key", None, "PEM, private key of the first one.", required=True)
    algorithms = list(content_credentials.ALGORITHMS)
    flags.DEFINE_enum("algorithm", "es256", algorithms, "What the key is for.")
    command_line.run(main)


if __name__ == "__main__":
    cli()
