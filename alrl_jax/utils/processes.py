"""Whether a process of this machine is there."""

import os


def is_running(process: int) -> bool:
    """Whether a process of this machine runs, whoever it belongs to.

    Args:
        process: its number.
    """
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    return True
