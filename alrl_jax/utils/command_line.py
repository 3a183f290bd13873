"""What every command line shares: flags, shipped configs, exit status, errors in one line.

Exit status: 0 done; 1 a fault of the program; 2 a mistake of the user's, told in one line; 130
interrupted. A program's own ``main`` may return others.
"""

import errno
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from absl import app, flags
from absl import logging as absl_logging

from alrl_jax.errors import UserError

_HELP = frozenset({"-h", "-help", "--help", "-?"})
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PACKAGE = Path(__file__).parents[1]


def run(main: Callable[[list[str]], int | None], *, positional: bool = False) -> NoReturn:
    """Parses the flags, calls ``main`` with the arguments left over, and ends the process.

    Args:
        main: gets the program's name and its positional arguments; returns the exit status.
        positional: whether the program takes arguments that are no flags.
    """
    absl_logging.get_absl_handler().addFilter(_is_ours_or_urgent)
    try:
        if _HELP.intersection(sys.argv[1:]):
            _print_help(main)
            sys.exit(0)
        app.run(main, flags_parser=lambda argv: _parse(argv, positional))
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno in _NO_ROOM:
            # What fails within a write knows no file name.
            where = "" if error.filename is None else f" for {error.filename!r}"
            _fail(
                f"got no room on the disk{where} ({error.strerror}); expected a disk on which "
                "what is made can be written; make room and start again"
            )
        if error.filename is None:
            raise
        # A path that cannot be read or written was named by the user: no bare traceback for it.
        _fail(f"got {error.filename!r}: {error.strerror}; expected a path that can be used so")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def shipped_configs() -> Path:
    """The folder of the configs that come with the project, installed or in a clone."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def find_config(path: str) -> str:
    """The config file meant by ``path``: relative to the working directory, else a shipped one.

    Raises:
        UserError: neither exists; the message lists the shipped ones.
    """
    if Path(path).is_file():
        return path
    shipped = shipped_configs()
    if Path(path).parent in (Path("."), Path("configs")) and (shipped / Path(path).name).is_file():
        return str(shipped / Path(path).name)
    names = ", ".join(sorted(f"configs/{file.name}" for file in shipped.glob("[!_]*.py")))
    raise UserError(f"got --config={path}, which is no file; expected a config; choose of: {names}")


def _parse(argv: Sequence[str], positional: bool) -> list[str]:
    arguments = _with_config_found(argv)
    given = next((a.partition("=")[2] for a in arguments if a.startswith("--config=")), "")
    config = given.partition(":")[0]
    try:
        rest = flags.FLAGS(arguments)
        _raise_deferred_config_error()
    except flags.Error as error:
        # A config file's ValueError arrives as the text of a traceback; its last line tells it.
        text = str(error).strip().splitlines()
        text = text[-1:] if "Traceback" in str(error) else [*text, "see --help"]
        raise UserError("\n".join(text)) from error
    except OSError as error:  # ml_collections: a config file that could not be read
        raise UserError(f"got {error.__cause__ or error}; expected a config that loads") from error
    except Exception as error:
        raise UserError(_config_problem(error, config)) from error
    if len(rest) > 1 and not positional:
        raise UserError(f"got the argument {rest[1]!r}; expected flags alone; see --help")
    return rest


def _with_config_found(argv: Sequence[str]) -> list[str]:
    """``argv`` with the file of every ``--config=FILE[:ARGUMENT]`` found."""
    arguments = [*argv[:1]]
    for argument in argv[1:]:
        if arguments[-1] in ("--config", "-config"):
            argument = f"--config={argument}"
            arguments.pop()
        if argument.startswith(("--config=", "-config=")):
            path, colon, rest = argument.partition("=")[2].partition(":")
            argument = f"--config={find_config(path)}{colon}{rest}"
        arguments.append(argument)
    return arguments


def _raise_deferred_config_error() -> None:
    """Raises what went wrong in the config file: ml_collections keeps it until it is looked at."""
    if "config" in flags.FLAGS and flags.FLAGS.config is not None:
        _ = flags.FLAGS.config.keys


def _config_problem(error: Exception, config: str) -> str:
    """What is wrong with a config file, or with a key set on the command line."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == config]
    message = str(error).replace("\\n", "\n").replace("\\", "").strip("\"'")
    if lines:
        problem = f"{type(error).__name__}: {message}"
        return f"got {problem} at {config}:{lines[-1]}; expected a config that loads"
    if isinstance(error, AttributeError | KeyError) and "has no attribute" not in message:
        key, _, hint = message.partition("\n")
        key = key.strip("\"'")
        return f"got the unknown config key {key!r}; expected a key of {config}. {hint}"
    return f"got {type(error).__name__}: {message}; expected values and a file that fit {config}"


def _is_ours_or_urgent(record: logging.LogRecord) -> bool:
    """Keeps what JAX and Orbax tell about every small thing out of the log; warnings stay.

    Each thread of Orbax logs an error with its traceback before it is raised: a failed save would
    hide the one line that tells of it under a thousand.
    """
    orbax = "/orbax/" in record.pathname
    chatty = orbax or "/jax/" in record.pathname
    raised = orbax and bool(record.exc_info)
    return not raised and (record.levelno > logging.INFO or not chatty)


def _print_help(main: Callable[[list[str]], int | None]) -> None:
    module = sys.modules[main.__module__]
    own = main.__module__ == "__main__"
    text = flags.FLAGS.main_module_help() if own else flags.FLAGS.module_help(module)
    print(f"{(module.__doc__ or '').strip()}\n\nflags:\n{text}")


def _fail(message: str) -> NoReturn:
    lines = (line.strip() for line in message.splitlines())
    print("error: " + "; ".join(line for line in lines if line), file=sys.stderr)
    sys.exit(2)
