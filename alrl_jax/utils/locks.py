"""Keeps a second process out of a directory that one writes into."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from alrl_jax.errors import UserError
from alrl_jax.utils.addresses import address_of
from alrl_jax.utils.leases import is_leased, leased


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


def is_held(directory: Path) -> bool:
    """Whether a process holds a directory with ``locked``; of a bucket this takes a while.

    A disk that knows no locks looks as if nobody did.
    """
    if address_of(directory) is not None:
        return is_leased(directory)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
