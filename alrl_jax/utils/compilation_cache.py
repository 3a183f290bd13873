"""Compiled programs are kept in the user's cache, so that the next start finds them."""

import os
from pathlib import Path

import jax
from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.utils.user_cache import cache_directory

FOLDER = "compiled"
LARGEST = 2 * 2**30
"""Bytes that are kept."""
MIN_SECONDS = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
"""Variable of JAX's setting."""


def keep_compiled_programs() -> None:
    """Lets JAX keep all that it compiles in the user's cache folder.

    Another folder is the user's to choose by ``$JAX_COMPILATION_CACHE_DIR`` (empty for none) or by
    ``jax.config``, and so is ``$JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS``. Call it before
    anything is compiled.
    """
    if MIN_SECONDS not in os.environ:
        # By itself JAX leaves out what takes less than a second: a start compiles a hundred of such
        # programs, which together take longer than all that it finds.
        jax.config.update(MIN_SECONDS.lower(), 0.0)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or jax.config.values["jax_compilation_cache_dir"]:
        return
    try:
        folder = cache_directory() / FOLDER
    except UserError as error:
        logging.info("compiled programs are not kept: %s", error)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shrink(folder, LARGEST)
    except OSError as error:
        logging.info("compiled programs are not kept in %s: %s", folder, error.strerror)
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def shrink(folder: Path, largest: int) -> None:
    """Removes the files that were not used for longest.

    JAX can bound its cache itself, but needs a package for that which is no dependency of ours.

    Args:
        folder: of files alone.
        largest: bytes that may stay.
    """
    files = [(path, path.stat()) for path in folder.iterdir() if path.is_file()]
    # Not every disk notes when a file was read.
    files.sort(key=lambda file: max(file[1].st_atime, file[1].st_mtime), reverse=True)
    total = 0
    for path, status in files:
        total += status.st_size
        if total > largest:
            path.unlink(missing_ok=True)
