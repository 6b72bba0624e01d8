"""Pickles as data: read without running anything, changed, and written again.

A pickle is a program for a small stack machine, and two of its instructions import a name and call
it; that is how opening somebody's file runs somebody's code. ``load`` is that machine without those
two: a name becomes a ``Global`` (two strings), a call becomes a ``Call`` (what would be called,
with what, and the state it would be given). Nothing is imported, called or compared, so there is
nothing to escape from; what is left to an attacker is size, and that is bounded by
``PickleLimits``. Names that a format has no use for are refused while reading, so that a pickle
which was made to do harm is not passed on in what we write either.

``alteraser.adapters._pickling.dump`` writes the tree back. Rebuilding was preferred to patching the
bytes in place: taking one rating out of a list moves the numbers of every later memo entry, which a
patch would have to follow through the whole stream. What is loaded from both is equal, sharing
between objects included; the bytes need not be.

The instruction set is that of protocols 2 to 5 (PEP 307, 3154, 574), as documented in
``pickletools``. Protocols 0 and 1, the extension registry and out-of-band buffers are refused: none
of the libraries here writes them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from alteraser.errors import IntegrityError, ResourceLimit

Allowed = Callable[[str, str], bool]
"""(module, name) → may a pickle of this format call or mention it?"""


@dataclass(frozen=True)
class PickleLimits:
    """How much a pickle may ask for. Its size bounds the memory: no instruction makes more than
    about 100 bytes.
    """

    bytes: int = 8 << 30
    operations: int = 200_000_000
    depth: int = 200
    """Nesting, finished or not."""
    integer: int = 64
    """Bytes of one integer; conversion to text is quadratic, and no id or count needs more."""


@dataclass(frozen=True)
class Global:
    """A name that the pickle would import: nothing but its two strings."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Call:
    """An object that the pickle would make: ``function(*arguments, **keywords)``, then its state
    and contents.
    """

    function: Global
    arguments: tuple[Any, ...]
    keywords: dict[str, Any] | None = None
    new: bool = False
    """True for ``function.__new__``, the way of plain instances."""
    has_state: bool = False
    state: Any = None
    appended: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"Call({self.function})"

    @property
    def attributes(self) -> dict[str, Any]:
        """The instance's ``__dict__`` where its state is one; else IntegrityError."""
        if not isinstance(self.state, dict):
            raise IntegrityError(
                f"{self.function} was pickled without its attributes; it is not the file it "
                "should be"
            )
        return self.state


@dataclass(eq=False)
class Persistent:
    """An object kept outside the pickle (a tensor's storage), by the identifier it has there."""

    identifier: Any


class _Mark:
    """Where a group of values begins on the stack."""


_MARK = _Mark()
_NONE: Any = object()


class Reader:
    """One run of the stack machine over ``data``; ``source`` names the file in messages."""

    def __init__(self, data: Any, source: str, allowed: Allowed, limits: PickleLimits) -> None:
        self.view = memoryview(data)
        self.source, self.allowed, self.limits = source, allowed, limits
        self.at = 0
        self.protocol = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}

    def fail(self, why: str) -> NoReturn:
        raise IntegrityError(
            f"{self.source}: not a readable pickle ({why} at byte {self.at:,}); nothing was run. "
            "The file is damaged, cut short, or was made to mislead",
            path=self.source,
        )

    # ---------------------------------------------------------------- bytes

    def take(self, count: int) -> memoryview:
        if count < 0 or count > len(self.view) - self.at:
            self.fail(f"{count:,} bytes are announced where {len(self.view) - self.at:,} are left")
        found = self.view[self.at : self.at + count]
        self.at += count
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, form: str) -> str:
        try:
            return str(self.take(self.number(form)), "utf-8", "surrogatepass")
        except UnicodeDecodeError as cause:
            self.fail(f"text that is not UTF-8 ({cause.reason})")

    def line(self) -> str:
        end = bytes(self.view[self.at : self.at + 1024]).find(b"\n")
        if end < 0:
            self.fail("a name without an end")
        try:
            return str(self.take(end + 1)[:-1], "utf-8")
        except UnicodeDecodeError:
            self.fail("a name that is not UTF-8")

    def integer(self, size: int) -> int:
        if size > self.limits.integer:
            self.fail(f"an integer of {size:,} bytes")
        return int.from_bytes(self.take(size), "little", signed=True)

    # ---------------------------------------------------------------- values

    def name(self, module: Any, name: Any) -> Global:
        if not isinstance(module, str) or not isinstance(name, str):
            self.fail("a name that is not text")
        if not self.allowed(module, name):
            raise IntegrityError(
                f"{self.source}: names {module}.{name}, which a file of this format has no use "
                f"for, at byte {self.at:,}; nothing was run. Do not open it with its library: a "
                "pickle runs what it names. If the model is your own class, save its tables as "
                ".safetensors or .npz instead",
                path=self.source,
            )
        return self.globals.setdefault((module, name), Global(module, name))

    def group(self) -> list[Any]:
        if not self.marks:
            self.fail("the end of a group without its beginning")
        start = self.marks.pop()
        if start >= len(self.stack) or self.stack[start] is not _MARK:
            self.fail("a group whose beginning was taken away")
        values = self.stack[start + 1 :]
        del self.stack[start:]
        return values

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            self.fail("a value that is missing")
        return self.stack.pop()

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            self.fail("a value that is missing")
        return self.stack[-1]

    def call(
        self, function: Any, arguments: Any, keywords: Any = None, *, new: bool = False
    ) -> Call:
        if not isinstance(function, Global):
            self.fail("a call of something that is not a name")
        if not isinstance(arguments, tuple):
            self.fail(f"a call of {function} whose arguments are not a tuple")
        if keywords is not None and not (
            isinstance(keywords, dict) and all(type(key) is str for key in keywords)
        ):
            self.fail(f"a call of {function} whose keywords are not text")
        return Call(function, arguments, keywords or None, new)

    def key(self, value: Any, depth: int = 0) -> Any:
        """``value`` if it can be a key without running anything or hashing for ever; else the file
        is refused.
        """
        if type(value) in (str, int, float, bool, bytes, type(None), Call, Global, Persistent):
            return value
        if type(value) is tuple and depth < 3 and len(value) <= 64:
            for part in value:
                self.key(part, depth + 1)
            return value
        self.fail(f"a {type(value).__name__} as a key")

    def fill(self, container: Any, values: list[Any]) -> None:
        if type(container) is list:
            container.extend(values)
        elif type(container) is Call:
            container.appended.extend(values)
        else:
            self.fail(f"an appending to {type(container).__name__}")

    def assign(self, container: Any, values: list[Any]) -> None:
        if len(values) % 2:
            self.fail("a key without a value")
        pairs = zip(values[::2], values[1::2], strict=True)
        if type(container) is dict:
            container.update((self.key(key), value) for key, value in pairs)
        elif type(container) is Call:
            container.pairs.extend(pairs)
        else:
            self.fail(f"an assignment in {type(container).__name__}")

    def recall(self, index: int) -> Any:
        if index not in self.memo:
            self.fail(f"memo entry {index} that was never stored")
        return self.memo[index]

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if type(target) is not Call:
            self.fail(f"a state for {type(target).__name__}")
        if target.has_state:
            self.fail(f"a second state for {target.function}")
        target.has_state, target.state = True, state

    # ---------------------------------------------------------------- the loop

    def run(self) -> Any:
        if len(self.view) > self.limits.bytes:
            raise ResourceLimit(
                f"{self.source}: a pickle of {len(self.view):,} bytes; at most "
                f"{self.limits.bytes:,} are read",
                path=self.source,
            )
        view, stack, table = self.view, self.stack, _OPERATIONS
        for _ in range(self.limits.operations):
            if self.at >= len(view):
                self.fail("no end: it is cut short")
            code = view[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                return self.result()
            operation = table.get(code)
            if operation is None:
                self.fail(
                    f"instruction {code:#04x}, which protocols 2 to 5 do not have or none of "
                    "these libraries writes,"
                )
            value = operation(self)
            if value is not _NONE:
                stack.append(value)
        raise ResourceLimit(
            f"{self.source}: a pickle of more than {self.limits.operations:,} instructions; "
            "nothing was run",
            path=self.source,
        )

    def result(self) -> Any:
        value = self.pop()
        if self.stack:
            self.fail("values left over")
        if self.protocol < 2:
            self.fail("no protocol, or one before 2; save it again with protocol 2 or later,")
        return value


def _protocol(r: Reader) -> Any:
    r.protocol = r.view[r.at] if r.at < len(r.view) else 0
    r.take(1)
    if r.protocol > 5:
        r.fail(f"protocol {r.protocol}, which is newer than 5,")
    return _NONE


def _mark(r: Reader) -> Any:
    if len(r.marks) >= r.limits.depth:
        r.fail(f"more than {r.limits.depth} groups inside one another")
    r.marks.append(len(r.stack))
    return _MARK


def _pop(r: Reader) -> Any:
    if r.stack and r.stack[-1] is _MARK:
        r.marks.pop()
        r.stack.pop()
    else:
        r.pop()
    return _NONE


def _global(r: Reader) -> Any:
    module = r.line()
    return r.name(module, r.line())


def _stack_global(r: Reader) -> Any:
    name = r.pop()
    return r.name(r.pop(), name)


def _reduce(r: Reader) -> Any:
    arguments = r.pop()
    return r.call(r.pop(), arguments)


def _new(r: Reader) -> Any:
    arguments = r.pop()
    return r.call(r.pop(), arguments, new=True)


def _new_ex(r: Reader) -> Any:
    keywords, arguments = r.pop(), r.pop()
    return r.call(r.pop(), arguments, keywords, new=True)


def _memoize(r: Reader) -> Any:
    r.memo[len(r.memo)] = r.top()
    return _NONE


def _put(r: Reader, index: int) -> Any:
    r.memo[index] = r.top()
    return _NONE


def _append(r: Reader) -> Any:
    value = r.pop()
    r.fill(r.top(), [value])
    return _NONE


def _appends(r: Reader) -> Any:
    values = r.group()
    r.fill(r.top(), values)
    return _NONE


def _setitem(r: Reader) -> Any:
    value, key = r.pop(), r.pop()
    r.assign(r.top(), [key, value])
    return _NONE


def _setitems(r: Reader) -> Any:
    values = r.group()
    r.assign(r.top(), values)
    return _NONE


def _dict(r: Reader) -> Any:
    found: dict[Any, Any] = {}
    r.assign(found, r.group())
    return found


def _additems(r: Reader) -> Any:
    values = r.group()
    container = r.top()
    if type(container) is not set:
        r.fail(f"an adding to {type(container).__name__}")
    container.update(r.key(value) for value in values)
    return _NONE


def _tuple(r: Reader, size: int) -> Any:
    return tuple([r.pop() for _ in range(size)][::-1])


def _build(r: Reader) -> Any:
    r.build()
    return _NONE


def _nothing(r: Reader) -> Any:
    return _NONE


def _frame(r: Reader) -> Any:
    if r.number("<Q") > len(r.view) - r.at:
        r.fail("a frame longer than the file")
    return _NONE


def _pop_mark(r: Reader) -> Any:
    r.group()
    return _NONE


_OPERATIONS: dict[int, Callable[[Reader], Any]] = {
    0x80: _protocol,
    0x95: _frame,
    ord("("): _mark,
    ord("0"): _pop,
    ord("1"): _pop_mark,
    ord("2"): Reader.top,
    ord("N"): lambda r: None,
    0x88: lambda r: True,
    0x89: lambda r: False,
    ord("J"): lambda r: r.number("<i"),
    ord("K"): lambda r: r.number("<B"),
    ord("M"): lambda r: r.number("<H"),
    0x8A: lambda r: r.integer(r.number("<B")),
    0x8B: lambda r: r.integer(r.number("<i")),
    ord("G"): lambda r: r.number(">d"),
    ord("X"): lambda r: r.text("<I"),
    0x8C: lambda r: r.text("<B"),
    0x8D: lambda r: r.text("<Q"),
    ord("B"): lambda r: bytes(r.take(r.number("<I"))),
    ord("C"): lambda r: bytes(r.take(r.number("<B"))),
    0x8E: lambda r: bytes(r.take(r.number("<Q"))),
    0x96: lambda r: bytearray(r.take(r.number("<Q"))),
    ord(")"): lambda r: (),
    ord("t"): lambda r: tuple(r.group()),
    0x85: lambda r: _tuple(r, 1),
    0x86: lambda r: _tuple(r, 2),
    0x87: lambda r: _tuple(r, 3),
    ord("]"): lambda r: [],
    ord("l"): lambda r: r.group(),
    ord("a"): _append,
    ord("e"): _appends,
    ord("}"): lambda r: {},
    ord("d"): _dict,
    ord("s"): _setitem,
    ord("u"): _setitems,
    0x8F: lambda r: set(),
    0x90: _additems,
    0x91: lambda r: frozenset(r.key(value) for value in r.group()),
    ord("c"): _global,
    0x93: _stack_global,
    ord("R"): _reduce,
    0x81: _new,
    0x92: _new_ex,
    ord("b"): _build,
    ord("Q"): lambda r: Persistent(r.pop()),
    0x94: _memoize,
    ord("q"): lambda r: _put(r, r.number("<B")),
    ord("r"): lambda r: _put(r, r.number("<I")),
    ord("h"): lambda r: r.recall(r.number("<B")),
    ord("j"): lambda r: r.recall(r.number("<I")),
}


def load(data: Any, source: str, allowed: Allowed, limits: PickleLimits | None = None) -> Any:
    """The tree that the pickle ``data`` (bytes or a buffer) describes; nothing is imported or
    called.

    Numbers, text, bytes, tuples, lists, dicts and sets are themselves; the rest is ``Global``,
    ``Call``, ``Persistent``.

    Raises:
        IntegrityError: damaged, cut short, of another protocol, or a name that ``allowed`` refuses.
        ResourceLimit: past ``limits``.

    >>> import pickle
    >>> load(pickle.dumps({"a": [1, (2.5, None)]}), "example", lambda module, name: False)
    {'a': [1, (2.5, None)]}
    >>> import fractions
    >>> load(pickle.dumps(fractions.Fraction(1, 3)), "example",
    ...      lambda module, name: module == "fractions")
    Call(fractions.Fraction)
    """
    reader = Reader(data, source, allowed, limits or PickleLimits())
    try:
        return reader.run()
    except (struct.error, OverflowError) as cause:
        reader.fail(str(cause))


def children(value: Any) -> Iterator[Any]:
    """The values that ``value`` directly holds."""
    if type(value) in (tuple, list, set, frozenset):
        yield from value
    elif type(value) is dict:
        for pair in value.items():
            yield from pair
    elif type(value) is Call:
        yield from (value.arguments, value.keywords or (), value.state, value.appended)
        for pair in value.pairs:
            yield from pair
    elif type(value) is Persistent:
        yield value.identifier


_PLAIN = (int, float, str, bytes, bytearray, bool, type(None), Global)


def walk(value: Any) -> Iterator[Any]:
    """Every object in the tree once, shared ones too."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if type(current) in _PLAIN:
            yield current
        elif id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting.extend(children(current))


def protocol_of(data: Any) -> int | None:
    """The protocol that ``data`` begins with, None where it is no pickle of protocol 2 to 5."""
    head = bytes(memoryview(data)[:2])
    return head[1] if len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5 else None
