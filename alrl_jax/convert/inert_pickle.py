"""Pickles read as data: nothing is imported, called or built but what a closed table names.

The interpreter knows the instructions that weight files use and no others.  A global name is
looked up in the caller's table; what is not there is an error, never an import.
"""

import dataclasses
import io
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

MAX_INSTRUCTIONS = 20_000_000
"""A checkpoint of many networks with optimiser states has a few hundred thousand."""


class InertPickleError(ValueError):
    """The stream is damaged, or holds something that a weight file does not need."""


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


def opaque(name: str) -> Global:
    """A class whose objects are not looked into."""
    return Global(name, lambda *_: Opaque(name))


def read_pickle(
    stream: BinaryIO | bytes,
    names: Mapping[str, Global],
    load_persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Interprets one pickle.

    Args:
        stream: the pickle; a stream is left standing behind it.
        names: what may be named, by "module name".
        load_persistent: what a persistent id stands for.

    Raises:
        InertPickleError: if the pickle is damaged or names something else.
    """
    stream = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    machine = _Machine(names, load_persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            step = _STEPS.get(opcode.name)
            if step is None:
                raise InertPickleError(f"instruction {opcode.name} is not one of a weight file")
            if count > MAX_INSTRUCTIONS:
                raise InertPickleError(f"more than {MAX_INSTRUCTIONS} instructions")
            step(machine, argument)
        return machine.result()
    except InertPickleError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise InertPickleError(f"damaged: {type(error).__name__}: {error}") from error


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
            raise InertPickleError("damaged: it ends in the middle of an object")
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
            raise InertPickleError("damaged: an object is missing")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise InertPickleError("damaged: items without a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise InertPickleError("damaged: items without a list")
        target.extend(items)

    def add(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise InertPickleError("damaged: items without a set")
        target.update(map(check_key, items))

    def push_global(self, name: str) -> None:
        if name not in self.names:
            raise InertPickleError(f"it names {name!r}, which a weight file does not need")
        self.push(self.names[name])

    def push_stack_global(self, _: None) -> None:
        module, name = self.take(2)
        self.push_global(f"{module} {name}")

    def call(self, _: None) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, Global) or function.make is None:
            raise InertPickleError(f"it calls {getattr(function, 'name', type(function))!r}")
        if not isinstance(arguments, tuple):
            raise InertPickleError("damaged: a call without arguments")
        self.push(function.make(*arguments))

    def build(self, _: None) -> None:
        """Drops the state of an object: dicts and opaque objects have none that matters."""
        self.take(1)
        if not isinstance(self.stack[-1], dict | Opaque):
            raise InertPickleError(f"it sets the state of a {type(self.stack[-1]).__name__}")

    def push_persistent(self, _: None) -> None:
        (identifier,) = self.take(1)
        if self.load_persistent is None:
            raise InertPickleError("it refers to data outside of the file")
        self.push(self.load_persistent(identifier))


def check_key(key: Any) -> str | int:
    """The key of a dict: text or number.  (Deeply nested tuples would exhaust the stack.)"""
    if not isinstance(key, str | int):
        raise InertPickleError(f"a dict has a key of type {type(key).__name__}")
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
    "LONG1": _literal,
    "BINFLOAT": _literal,
    "BINUNICODE": _literal,
    "SHORT_BINUNICODE": _literal,
    "BINUNICODE8": _literal,
    "BINBYTES": _literal,
    "SHORT_BINBYTES": _literal,
    "BINBYTES8": _literal,
    "MARK": _Machine.mark,
    "TUPLE": lambda m, a: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, a: m.push(m.take(1)),
    "TUPLE2": lambda m, a: m.push(m.take(2)),
    "TUPLE3": lambda m, a: m.push(m.take(3)),
    "SETITEM": lambda m, a: m.set_items(list(m.take(2))),
    "SETITEMS": lambda m, a: m.set_items(m.since_mark()),
    "APPEND": lambda m, a: m.append(list(m.take(1))),
    "APPENDS": lambda m, a: m.append(m.since_mark()),
    "ADDITEMS": lambda m, a: m.add(m.since_mark()),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda m, a: m.put(len(m.memo)),
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
