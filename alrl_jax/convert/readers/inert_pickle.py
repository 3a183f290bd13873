"""Pickles read as data: nothing is imported, called or built but what a closed table names.

The interpreter knows the instructions that weight files use and no others.  A global name is
looked up in the caller's table; what is not there is an error, never an import.
"""

import dataclasses
import mmap
import pickletools
import sys
from collections.abc import Callable, Mapping
from typing import Any

from alrl_jax.convert.faults import CheckpointError, shown

LARGE_BYTES = 2**16
"""From this length on, what a pickle holds is not copied out of the file."""

MAX_KEY = 2**31
"""Largest number that is a key.  (Larger ones can be chosen so that all of them hash alike.)"""

MAX_INTEGER_BYTES = 16

FREE_BYTES, BYTES_MADE_A_BYTE = 2**28, 8
"""What reading any file may make in memory, and for each byte of the file beside it."""

SLOT_BYTES = 100
"""What an object costs where it is kept, as in a dict."""


class Budget:
    """How many more instructions a file may have interpreted, and how many bytes they may make.

    An instruction takes a byte and an honest file has none read twice, so a file's size is its
    budget; without one, a few bytes could have the same nested stream read over and over. What an
    instruction makes is no larger than what the file holds of it, but for what an object costs.

    Args:
        file_bytes: size of the file.
    """

    def __init__(self, file_bytes: int) -> None:
        self.left = file_bytes
        self.bytes_left = FREE_BYTES + BYTES_MADE_A_BYTE * file_bytes

    def spend(self) -> None:
        """Takes an instruction."""
        self.left -= 1
        if self.left < 0:
            raise CheckpointError("it reads itself over and over")

    def hold(self, made: int) -> None:
        """Takes the bytes that an instruction has made."""
        self.bytes_left -= made
        if self.bytes_left < 0:
            raise CheckpointError("it makes far more than it holds")


class ByteReader:
    """A file in memory as ``pickletools`` reads it; large pieces are views, not copies.

    Attributes:
        view: the bytes.
        position: where the next read starts.
    """

    def __init__(self, data: bytes | memoryview | mmap.mmap) -> None:
        self.view = memoryview(data)
        self.position = 0

    def tell(self) -> int:
        """Where the next read starts."""
        return self.position

    def read(self, count: int) -> bytes | memoryview:
        """The next ``count`` bytes, fewer at the end."""
        piece = self.view[self.position : self.position + count]
        self.position += len(piece)
        return piece if count >= LARGE_BYTES else bytes(piece)

    def readline(self) -> bytes:
        """Bytes up to and with the next line feed."""
        reach, left = 256, len(self.view) - self.position
        while True:
            piece = bytes(self.view[self.position : self.position + reach])
            end = piece.find(b"\n") + 1
            if end or reach >= left:
                break
            reach *= 4
        self.position += end or len(piece)
        return piece[:end] if end else piece


@dataclasses.dataclass(frozen=True)
class Global:
    """What stands in for a global name of a pickle.

    Attributes:
        name: module and name, as in the stream.
        make: what a call of it returns; None where it may be named but not called.
    """

    name: str
    make: Callable[..., Any] | None = None


@dataclasses.dataclass(frozen=True)
class Opaque:
    """An object of no interest: only the name of its class is kept."""

    name: str


class Unbuilt:
    """An object whose state is still to come: the BUILD instruction replaces it.

    Attributes:
        memo: where the pickle's memo holds it.
    """

    def __init__(self) -> None:
        self.memo: list[int] = []

    def build(self, state: Any) -> Any:
        """What the object is, given its state."""
        raise NotImplementedError


def opaque(name: str) -> Global:
    """A class whose objects are not looked into."""
    return Global(name, lambda *_: Opaque(name))


def read_pickle(
    stream: ByteReader | bytes,
    names: Mapping[str, Global],
    load_persistent: Callable[[Any], Any] | None = None,
    budget: Budget | None = None,
) -> Any:
    """Interprets one pickle.

    Args:
        stream: the pickle; a reader is left standing behind it.
        names: what may be named, by "module name".
        load_persistent: what a persistent id stands for.
        budget: limit of the instructions of the whole file; None allows one a byte.

    Raises:
        CheckpointError: if the pickle is damaged or names something else.
    """
    reader = ByteReader(stream) if isinstance(stream, bytes) else stream
    budget = budget or Budget(len(reader.view))
    machine = _Machine(names, load_persistent)
    try:
        for opcode, argument, _ in pickletools.genops(reader):  # pyright: ignore[reportArgumentType]
            step = _STEPS.get(opcode.name)
            if step is None:
                raise CheckpointError(f"instruction {opcode.name} is not one of a weight file")
            budget.spend()
            step(machine, argument)
            made = sys.getsizeof(machine.stack[-1]) if opcode.name in _MAKING else 0
            budget.hold(SLOT_BYTES + made)
        return machine.result()
    except CheckpointError:
        raise
    except _DAMAGE as error:
        raise CheckpointError(f"damaged: {type(error).__name__}: {shown(str(error))}") from error


_DAMAGE = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError)


class _Machine:
    """Stack, memo and the instructions that need them."""

    def __init__(
        self, names: Mapping[str, Global], load_persistent: Callable[[Any], Any] | None
    ) -> None:
        self.names = names
        self.load_persistent = load_persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        if len(self.stack) != 1 or self.marks:
            raise CheckpointError("damaged: it ends in the middle of an object")
        return self.stack[0]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def take(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise CheckpointError("damaged: an object is missing")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]
        if isinstance(self.stack[-1], Unbuilt):
            self.stack[-1].memo.append(index)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise CheckpointError("damaged: items without a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise CheckpointError("damaged: items without a list")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise CheckpointError("damaged: items without a set")
        target.update(map(check_key, items))

    def push_global(self, name: str) -> None:
        if name not in self.names:
            raise CheckpointError(f"it names '{shown(name)}', which a weight file does not need")
        self.push(self.names[name])

    def push_stack_global(self, _: None) -> None:
        module, name = self.take(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise CheckpointError("damaged: a name that is no text")
        self.push_global(f"{module} {name}")

    def push_integer(self, value: int) -> None:
        if value.bit_length() > 8 * MAX_INTEGER_BYTES:
            raise CheckpointError(f"a number has more than {MAX_INTEGER_BYTES} bytes")
        self.push(value)

    def make_dict(self, _: None) -> None:
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def call(self, _: None) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, Global) or function.make is None:
            raise CheckpointError(f"it calls '{shown(getattr(function, 'name', function))}'")
        if not isinstance(arguments, tuple):
            raise CheckpointError("damaged: a call without arguments")
        self.push(function.make(*arguments))

    def build(self, _: None) -> None:
        """Sets the state of an object; dicts and opaque objects have none that matters."""
        (state,) = self.take(1)
        target = self.stack[-1]
        if isinstance(target, Unbuilt):
            self.stack[-1] = target.build(state)
            self.memo.update(dict.fromkeys(target.memo, self.stack[-1]))
        elif not isinstance(target, dict | Opaque):
            raise CheckpointError(f"it sets the state of a {type(target).__name__}")

    def push_persistent(self, _: None) -> None:
        (identifier,) = self.take(1)
        if self.load_persistent is None:
            raise CheckpointError("it refers to data outside of the file")
        self.push(self.load_persistent(identifier))


def check_key(key: Any) -> str | int:
    """The key of a dict: text or number.  (Deeply nested tuples would exhaust the stack.)"""
    if not isinstance(key, str | int):
        raise CheckpointError(f"a dict has a key of type {type(key).__name__}")
    if isinstance(key, int) and abs(key) > MAX_KEY:
        raise CheckpointError(f"a dict has a key above {MAX_KEY}")
    return key


def _constant(value: Any) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


def _literal(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "STOP": lambda m, a: None,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_SET": lambda m, a: m.push(set()),
    "BININT": _literal,
    "BININT1": _literal,
    "BININT2": _literal,
    "INT": _literal,
    "LONG": _Machine.push_integer,
    "LONG1": _Machine.push_integer,
    "LONG4": _Machine.push_integer,
    "FLOAT": _literal,
    "BINFLOAT": _literal,
    "SHORT_BINSTRING": _literal,
    "BINSTRING": _literal,
    "UNICODE": _literal,
    "BINUNICODE": _literal,
    "SHORT_BINUNICODE": _literal,
    "BINUNICODE8": _literal,
    "BINBYTES": _literal,
    "SHORT_BINBYTES": _literal,
    "BINBYTES8": _literal,
    "BYTEARRAY8": _literal,
    "MARK": _Machine.mark,
    "TUPLE": lambda m, a: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, a: m.push(m.take(1)),
    "TUPLE2": lambda m, a: m.push(m.take(2)),
    "TUPLE3": lambda m, a: m.push(m.take(3)),
    "LIST": lambda m, a: m.push(m.since_mark()),
    "DICT": _Machine.make_dict,
    "SETITEM": lambda m, a: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m, a: m.set_items(m.since_mark()),
    "APPEND": lambda m, a: m.append(list(m.take(1))),
    "APPENDS": lambda m, a: m.append(m.since_mark()),
    "ADDITEMS": lambda m, a: m.add(m.since_mark()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, a: m.put(len(m.memo)),
    "GET": lambda m, a: m.push(m.memo[a]),
    "BINGET": lambda m, a: m.push(m.memo[a]),
    "LONG_BINGET": lambda m, a: m.push(m.memo[a]),
    "GLOBAL": _Machine.push_global,
    "STACK_GLOBAL": _Machine.push_stack_global,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.push_persistent,
}
"""Every instruction that is understood."""

_MAKING = frozenset(_STEPS) - {
    *("PROTO", "FRAME", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "MARK", "GLOBAL"),
    *("SETITEM", "SETITEMS", "APPEND", "APPENDS", "ADDITEMS", "PUT", "BINPUT", "LONG_BINPUT"),
    *("MEMOIZE", "GET", "BINGET", "LONG_BINGET", "STACK_GLOBAL", "BUILD", "BINPERSID"),
}
"""Instructions that leave a new object on the stack, all others but a reference to one."""
