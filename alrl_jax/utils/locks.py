"""Keeps a second process out of a directory that one writes into."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.leases import leased


@contextlib.contextmanager
def locked(directory: Path, called: str) -> Iterator[None]:
    """Holds a directory; the system lets go of it when the process ends, however it ends.

    The lock is on the directory itself and leaves no file; in a bucket it is a lease. A disk that
    knows no locks is said in the log, and keeps nobody out.

    Args:
        directory: which exists.
        called: what the user knows it as, such as a flag.

    Raises:
        UserError: another process holds it.
    """
    if address_of(directory) is not None:
        with leased(directory, called):
            yield
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"got {called}={directory}, which another run writes into; expected one at a time; "
                "wait for it to end or choose another directory"
            ) from error
        except OSError as error:
            logging.warning("%s cannot be locked (%s): run one at a time", directory, error)
        yield
    finally:
        os.close(descriptor)
