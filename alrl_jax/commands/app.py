"""Serves a page on which faces are swapped in the browser.

alrl app [--model=DIR ...]

Drop a source and a target, or take invented people: with the model that the package ships, no photo
is needed. The page shows what a swap is made of and which codes came from which face, compares
selections, and takes batches and videos. It needs the extra ``app``.

The page is bound to this machine alone. Another ``--host`` is warned of and needs a password, which
is made and printed where ``--password_path`` names none. Uploads and results lie in a private
folder, which goes when the page ends (Ctrl-C). Use photos of people who agreed; results are marked
as those of ``alrl infer``.
"""

from pathlib import Path
from typing import NoReturn

from absl import flags

from alrl_jax.app.models import open_shelf
from alrl_jax.app.serving import check_gradio, is_local, read_password, serve
from alrl_jax.utils import command_line
from alrl_jax.utils.compilation_cache import keep_compiled_programs
from alrl_jax.utils.paths import local_path

MODEL = "embedded/swapper_64"


def main(argv: list[str]) -> int:
    """Serves the page until Ctrl-C; gives the exit status."""
    del argv
    values = flags.FLAGS
    names = [local_path(name) for name in values.model]
    path = None if values.password_path is None else Path(values.password_path)
    password = read_password(path, values.host)
    check_gradio()
    keep_compiled_programs()
    made = path is None and not is_local(values.host)
    serve(open_shelf(names), values.host, values.port or None, password, made)
    return 0


def define_flags() -> None:
    """Defines the flags of this command; not at import, as other commands have the same names."""
    flags.DEFINE_multi_string(
        "model", [MODEL], "Model or work directory, or embedded/NAME. Repeatable."
    )
    flags.DEFINE_string("host", "127.0.0.1", "Address to bind to; another one needs a password.")
    flags.DEFINE_integer("port", 0, "Of the page; 0 for the first free one from 7860.", 0, 65535)
    command_line.DEFINE_path(
        "password_path", None, "File whose first line is the password; the user is alrl."
    )


def cli() -> NoReturn:
    """The command."""
    define_flags()
    command_line.run(main)


if __name__ == "__main__":
    cli()
