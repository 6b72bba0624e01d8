"""The way back: a tree of ``alteraser.adapters._pickle`` as a pickle again.

What is loaded from it equals what was read, sharing between objects and cycles included, whoever
loads it. Text, bytes and names are written once and recalled by what they are, everything else by
identity, as the standard pickler does.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from alteraser.adapters._pickle import Call, Global, Persistent
from alteraser.errors import InvalidInput


class PickleWriter:
    """One pickle of ``protocol``, built up in ``out``."""

    def __init__(self, protocol: int, depth: int) -> None:
        self.protocol, self.depth = protocol, depth
        self.out = bytearray()
        self.memo: dict[Any, int] = {}
        self.kept: list[Any] = []  # what is in the memo by identity stays alive

    def run(self, value: Any) -> bytes:
        self.out += struct.pack("BB", 0x80, self.protocol)
        self.save(value, 0)
        self.out += b"."
        return bytes(self.out)

    def save(self, value: Any, depth: int) -> None:
        save = _SAVERS.get(type(value))
        if save is None:
            raise TypeError(f"no pickle of {type(value).__name__} is written")
        if depth > self.depth:
            raise InvalidInput(f"nested more than {self.depth} deep; no model is")
        save(self, value, depth + 1)

    def key_of(self, value: Any) -> Any:
        """Text, bytes and names are remembered by what they are, the rest by identity."""
        return (type(value), value) if type(value) in (str, bytes, Global) else id(value)

    def recalled(self, value: Any) -> bool:
        index = self.memo.get(self.key_of(value))
        if index is None:
            return False
        self.out += (
            struct.pack("<BB", 0x68, index) if index < 256 else struct.pack("<BI", 0x6A, index)
        )
        return True

    def remember(self, value: Any) -> None:
        index = len(self.memo)
        self.memo[self.key_of(value)] = index
        self.kept.append(value)
        if self.protocol >= 4:
            self.out.append(0x94)
        else:
            self.out += (
                struct.pack("<BB", 0x71, index) if index < 256 else struct.pack("<BI", 0x72, index)
            )

    # ---------------------------------------------------------------- one kind each

    def integer(self, value: int, depth: int) -> None:
        if 0 <= value < 256:
            self.out += struct.pack("<BB", 0x4B, value)
        elif -(2**31) <= value < 2**31:
            self.out += struct.pack("<Bi", 0x4A, value)
        else:
            size = value.bit_length() // 8 + 1
            self.out += struct.pack("<BB", 0x8A, size) + value.to_bytes(size, "little", signed=True)

    def text(self, value: str, depth: int) -> None:
        if self.recalled(value):
            return
        content = value.encode("utf-8", "surrogatepass")
        if len(content) < 256 and self.protocol >= 4:
            self.out += struct.pack("<BB", 0x8C, len(content)) + content
        else:
            self.out += struct.pack("<BI", 0x58, len(content)) + content
        self.remember(value)

    def content(self, value: bytes, depth: int) -> None:
        if self.recalled(value):
            return
        if len(value) < 256:
            self.out += struct.pack("<BB", 0x43, len(value))
        elif len(value) < 2**32:
            self.out += struct.pack("<BI", 0x42, len(value))
        else:
            self.out += struct.pack("<BQ", 0x8E, len(value))
        self.out += value
        self.remember(value)

    def mutable_content(self, value: bytearray, depth: int) -> None:
        if not self.recalled(value):
            self.out += struct.pack("<BQ", 0x96, len(value)) + value
            self.remember(value)

    def named(self, value: Global, depth: int) -> None:
        if self.recalled(value):
            return
        if self.protocol >= 4:
            self.text(value.module, depth)
            self.text(value.name, depth)
            self.out.append(0x93)
        else:
            self.out += f"c{value.module}\n{value.name}\n".encode()
        self.remember(value)

    def fixed(self, value: tuple[Any, ...], depth: int) -> None:
        if not value:
            self.out += b")"
            return
        if self.recalled(value):
            return
        if len(value) > 3:
            self.out += b"("
        for part in value:
            self.save(part, depth)
        if id(value) in self.memo:  # it holds itself, through a list, and was written meanwhile
            self.out += b"1" if len(value) > 3 else b"0" * len(value)
            self.recalled(value)
            return
        self.out += b"t" if len(value) > 3 else struct.pack("B", 0x84 + len(value))
        self.remember(value)

    def sequence(self, value: list[Any], depth: int) -> None:
        if not self.recalled(value):
            self.out += b"]"
            self.remember(value)
            self.group(value, depth, b"e")

    def mapping(self, value: dict[Any, Any], depth: int) -> None:
        if not self.recalled(value):
            self.out += b"}"
            self.remember(value)
            self.group([part for pair in value.items() for part in pair], depth, b"u")

    def unordered(self, value: set[Any], depth: int) -> None:
        if self.protocol < 4:
            raise InvalidInput("a set in a pickle before protocol 4: save it again with protocol 4")
        if not self.recalled(value):
            self.out.append(0x8F)
            self.remember(value)
            self.group(sorted(value, key=repr), depth, b"\x90")

    def frozen(self, value: frozenset[Any], depth: int) -> None:
        if not self.recalled(value):
            self.out += b"("
            for part in sorted(value, key=repr):
                self.save(part, depth)
            self.out.append(0x91)
            self.remember(value)

    def group(self, values: list[Any], depth: int, close: bytes) -> None:
        if values:
            self.out += b"("
            for part in values:
                self.save(part, depth)
            self.out += close

    def call(self, value: Call, depth: int) -> None:
        if self.recalled(value):
            return
        self.named(value.function, depth)
        self.fixed(value.arguments, depth)
        if value.keywords is not None and not value.new:
            raise TypeError("only __new__ takes keywords")
        if value.keywords is not None:
            self.mapping(value.keywords, depth)
            self.out.append(0x92)
        else:
            self.out += b"\x81" if value.new else b"R"
        self.remember(value)
        self.group(value.appended, depth, b"e")
        self.group([part for pair in value.pairs for part in pair], depth, b"u")
        if value.has_state:
            self.save(value.state, depth)
            self.out += b"b"

    def persistent(self, value: Persistent, depth: int) -> None:
        self.save(value.identifier, depth)
        self.out += b"Q"


def _constant(code: bytes) -> Callable[[PickleWriter, Any, int], None]:
    def save(w: PickleWriter, value: Any, depth: int) -> None:
        w.out += code

    return save


_SAVERS: dict[type, Callable[[PickleWriter, Any, int], None]] = {
    type(None): _constant(b"N"),
    bool: lambda w, value, depth: w.out.append(0x88 if value else 0x89),
    int: PickleWriter.integer,
    float: lambda w, value, depth: w.out.extend(struct.pack(">Bd", 0x47, value)),
    str: PickleWriter.text,
    bytes: PickleWriter.content,
    bytearray: PickleWriter.mutable_content,
    tuple: PickleWriter.fixed,
    list: PickleWriter.sequence,
    dict: PickleWriter.mapping,
    set: PickleWriter.unordered,
    frozenset: PickleWriter.frozen,
    Global: PickleWriter.named,
    Call: PickleWriter.call,
    Persistent: PickleWriter.persistent,
}


def dump(value: Any, protocol: int = 4, *, depth: int = 200) -> bytes:
    """``value``, a tree as ``load`` gives it, as a pickle of ``protocol`` (2 to 5).

    Raises InvalidInput for more than ``depth`` levels of nesting, TypeError for what no ``load``
    gives.

    >>> import pickle
    >>> pickle.loads(dump({"a": [1, (2.5, None)]}))
    {'a': [1, (2.5, None)]}
    """
    return PickleWriter(protocol, depth).run(value)
