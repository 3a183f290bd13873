"""What every command line shares: flags, shipped configs, exit status, errors in one line.

A command module has ``define_flags()``, ``main(argv) -> int`` and ``cli()``, which calls the first
and hands the second to ``run``. Nothing is defined when it is imported, so that a process may
import several.

Exit status: 0 done; 1 a fault of the program; 2 a mistake of the user's, printed in one line; 130
interrupted. A program's own ``main`` may return others.
"""

import contextlib
import errno
import logging
import math
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from alrl_jax.errors import UserError
from alrl_jax.utils.paths import local_path, path_or_mirror
from alrl_jax.utils.printing import one_line, say
from alrl_jax.utils.waiting import has_hung

# Flags that are defined here belong to the module that asks for them, whose help shows them.
flags.disclaim_key_flags()

HELP = frozenset({"-h", "-help", "--help", "-?"})
"""What asks for help."""
MOST_LOGGED = 2000
"""Characters of a line in the log."""
WRITTEN = ("output", "workdir")
"""Flags of what is written: an empty one would mean the working directory."""
LARGEST_NUMBER = 2**63
"""Which whole numbers of flags stay below."""
UNHEARD = 141
"""Exit status where what reads standard output went away."""
INTERRUPTED = 130
"""Exit status after Ctrl-C."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHATTY = ("/jax/", "/botocore/", "/aiobotocore/", "/fsspec/", "/gcsfs/", "/google/")
_PACKAGE = Path(__file__).parents[1]


def run(main: Callable[[list[str]], int | None], *, positional: bool = False) -> NoReturn:
    """Parses the flags, calls ``main`` with the arguments left over, and ends the process.

    ``--help`` prints the documentation of the module of ``main`` and the flags that it defined,
    whichever program calls it.

    Args:
        main: gets the program's name and its positional arguments; returns the exit status.
        positional: whether the program takes arguments that are no flags.
    """
    _open_standard_streams()
    handler = absl_logging.get_absl_handler()
    for keep in (_is_ours_or_urgent, _on_one_line):
        handler.addFilter(keep)
    if HELP.intersection(sys.argv[1:]):
        _print_help(main)
        sys.exit(0)
    end_with(lambda: app.run(main, flags_parser=lambda argv: _parse(argv, positional)))


def _open_standard_streams() -> None:
    """Makes sure that files which are opened later do not take the place of a closed stream.

    What a library prints would go into them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))


def end_with(program: Callable[[], int | None]) -> NoReturn:
    """Ends the process with the exit status of a program; mistakes of the user's are one line."""
    try:
        status = program()
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError as error:
        if error.filename is not None:
            raise
        _leave(UNHEARD)
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
        _leave(INTERRUPTED)
    sys.exit(status or 0)


def _leave(status: int) -> NoReturn:
    """Ends the process without waiting for threads that are at work, such as a photo's decoder.

    What is written is written under a temporary name, which the next run removes.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the reader went away: what is left is not written, nor complained about
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    others = [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    if others:
        os._exit(status)
    sys.exit(status)


def DEFINE_path(
    name: str,
    default: str | None,
    text: str,
    *,
    required: bool = False,
    bucket: Literal["", "read", "written"] = "",
) -> flags.FlagHolder[str | None]:
    """Defines a flag that holds a path: ``~`` is expanded.

    Args:
        name: of the flag.
        default: a path, or None.
        text: its line of help.
        required: whether the command cannot do without.
        bucket: whether it may be an address of a bucket, whose mirror the value is then, and what
            the command does there. Without, an address is refused.
    """
    return flags.DEFINE(
        PathParser(name, bucket), name, default, text, flag_values=flags.FLAGS, required=required
    )


def DEFINE_paths(
    name: str, default: list[str] | None, text: str, *, required: bool = False
) -> flags.FlagHolder[list[str] | None]:
    """Defines a flag that holds ``PATH`` or ``NAME=PATH``, several with commas between.

    See ``DEFINE_path``.
    """
    return flags.DEFINE(
        PathsParser(),
        name,
        default,
        text,
        flag_values=flags.FLAGS,
        serializer=flags.CsvListSerializer(","),
        required=required,
    )


def DEFINE_config() -> None:
    """Defines the flag ``--config``, which is required, and ``--config.FIELD`` with it."""
    config_flags.DEFINE_config_file(
        "config",
        lock_config=True,
        help_string="A shipped config by its name, or a file; --config.FIELD=VALUE overrides.",
        flag_values=flags.FLAGS,
    )
    flags.mark_flag_as_required("config", flag_values=flags.FLAGS)


class PathParser(flags.ArgumentParser[str]):
    """Reads a path from the command line; see ``local_path``."""

    syntactic_help = "a path"

    def __init__(self, name: str, bucket: str = "") -> None:
        super().__init__()
        self._name, self._bucket = name, bucket

    def parse(self, argument: str) -> str:
        """The path, expanded."""
        if "\0" in argument or (not argument and self._name in WRITTEN):
            raise UserError(
                f"got --{self._name}={argument!r}; expected a path; name one or leave the flag out"
            )
        if self._bucket:
            return path_or_mirror(argument, self._bucket == "written")
        return local_path(argument)

    def flag_type(self) -> str:
        """What the help calls it."""
        return "path or address" if self._bucket else "path"


class PathsParser(flags.ListParser):
    """Reads a list of ``PATH`` or ``NAME=PATH``."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """The list, every path expanded."""
        return [self._expanded(entry) for entry in super().parse(argument)]

    def flag_type(self) -> str:
        """What the help calls it."""
        return "list of paths"

    @staticmethod
    def _expanded(entry: str) -> str:
        name, equals, path = entry.partition("=")
        return f"{name}={local_path(path)}" if equals else local_path(entry)


def shipped_configs() -> Path:
    """The folder of the configs that come with the project, installed or in a clone."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def find_config(named: str) -> str:
    """The config file meant by a path relative to the working directory, or by a shipped name.

    Args:
        named: such as ``runs/mine.py``, ``synthetic_64``, ``synthetic_64.py`` or
            ``configs/synthetic_64.py``.

    Raises:
        UserError: there is none; the message lists the shipped ones.
    """
    path = Path(local_path(named))
    if path.is_file():
        return str(path)
    shipped = shipped_configs()
    file = shipped / f"{path.name.removesuffix('.py')}.py"
    if path.parent in (Path("."), Path("configs")) and file.is_file():
        return str(file)
    names = ", ".join(sorted(file.stem for file in shipped.glob("[!_]*.py")))
    raise UserError(
        f"got --config={named}, which is no file and no shipped config; expected a file or one of: "
        f"{names}; name one"
    )


def _parse(argv: Sequence[str], positional: bool) -> list[str]:
    arguments = with_config_found(argv)
    given = next((a.partition("=")[2] for a in arguments if a.startswith("--config=")), "")
    config = given.partition(":")[0]
    try:
        rest = flags.FLAGS(arguments)
        _check_numbers()
        _raise_deferred_config_error()
    except UserError:  # of a parser of ours, or of the config
        raise
    except flags.Error as error:
        # A config file's ValueError arrives as the text of a traceback, the message last.
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


def _check_numbers() -> None:
    """UserError for numbers of flags that nothing can be made of, whatever their bounds."""
    for flag in (flags.FLAGS[name] for name in flags.FLAGS):
        value = flag.value if flag.present else None
        odd = isinstance(value, float) and not math.isfinite(value)
        large = isinstance(value, int) and abs(value) >= LARGEST_NUMBER
        if odd or large:
            expected = "a finite number" if odd else "a number of at most 63 bits"
            raise UserError(f"got --{flag.name}={value}; expected {expected}; give another one")


def with_config_found(argv: Sequence[str]) -> list[str]:
    """``argv`` with the file of every ``--config=FILE[:ARGUMENT]`` found."""
    arguments = [*argv[:1]]
    for argument in argv[1:]:
        if arguments[-1] in ("--config", "-config"):
            argument = f"--config={argument}"
            arguments.pop()
        if argument.startswith(("--config=", "-config=")):
            named = argument.partition("=")[2]
            path, colon, rest = local_path(named).partition(":")
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
    """Keeps what JAX, Orbax and clients of buckets tell about small things out of the log.

    Warnings stay.

    Each thread of Orbax logs an error with its traceback before it is raised, and asyncio those of
    its tasks that nobody waits for any longer: a failed save would hide the one line about it under
    a thousand.
    """
    orbax = "/orbax/" in record.pathname
    chatty = orbax or any(name in record.pathname for name in _CHATTY)
    raised = bool(record.exc_info) and (orbax or _went_through_orbax(record.exc_info))
    return not raised and (record.levelno > logging.INFO or not chatty)


def _went_through_orbax(exc_info: object) -> bool:
    error = exc_info[1] if isinstance(exc_info, tuple) else None
    frames = traceback.walk_tb(error.__traceback__) if isinstance(error, BaseException) else ()
    return any("/orbax/" in frame.f_code.co_filename for frame, _ in frames)


def _on_one_line(record: logging.LogRecord) -> bool:
    """Makes a record one bounded line, whatever names of files it repeats."""
    with contextlib.suppress(TypeError, ValueError):  # logging says what does not fit
        record.msg, record.args = one_line(record.getMessage(), MOST_LOGGED), ()
    return True


def _print_help(main: Callable[[list[str]], int | None]) -> None:
    module = sys.modules[main.__module__]
    own = main.__module__ == "__main__"
    text = flags.FLAGS.main_module_help() if own else flags.FLAGS.module_help(module)
    listed = f"\n\nflags:\n{text}" if text else ""
    print(f"{(module.__doc__ or '').strip()}{listed}")


def _fail(message: str) -> NoReturn:
    say(one_line(f"error: {message}"), sys.stderr)
    if has_hung():
        _leave(2)
    sys.exit(2)
