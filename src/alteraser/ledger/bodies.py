"""JSON from strangers: bounded before it is read, with nothing in it that two readers would
understand differently.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from alteraser.errors import InvalidInput, ResourceLimit

BODY = 2**20
"""Bytes of a body"""
BULK = 64 * 2**20
"""The same where many rows are sent"""
DEPTH = 32
HALVES = re.compile(r"\\u[dD][89a-fA-F]")
"""Escapes of halves of a character, which may lack the other half"""


def parse(content: bytes) -> Any:
    """The value of ``content``; InvalidInput whose ``code`` says what is wrong, never with what was
    sent in it.

    >>> parse(b'{"users": [1]}')
    {'users': [1]}
    """
    if not content.strip():
        raise InvalidInput("the body is empty; expected a JSON object", code="body_empty")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise InvalidInput(
            f"the body is not UTF-8, from byte {cause.start} on", code="encoding"
        ) from None
    try:
        found = json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_whole,
            parse_float=_fraction,
            parse_constant=_constant,
        )
    except RecursionError:
        raise InvalidInput(f"the body is nested deeper than {DEPTH}", code="depth") from None
    except json.JSONDecodeError as cause:
        raise InvalidInput(
            f"the body is not JSON, from character {cause.pos} on", code="json"
        ) from None
    if _deeper(found, DEPTH):
        raise InvalidInput(f"the body is nested deeper than {DEPTH}", code="depth")
    if HALVES.search(text):  # escapes alone can say one, and no ledger or answer can hold it
        written(found)
    return found


def written(value: Any) -> bytes:
    """``value`` as the body of a request; InvalidInput, as ``parse`` says it, for what JSON cannot
    say: refused before it is sent.

    >>> written({"users": [1]})
    b'{"users":[1]}'
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except TypeError as cause:
        raise InvalidInput(f"no JSON can be made of it: {cause}", code="type") from None
    except UnicodeEncodeError:
        raise InvalidInput("a text that is not valid Unicode", code="encoding") from None
    except RecursionError:
        raise InvalidInput(f"the body is nested deeper than {DEPTH}", code="depth") from None
    except ValueError as cause:
        code = "depth" if "Circular" in str(cause) else "number"
        raise InvalidInput(f"no JSON can be made of it: {cause}", code=code) from None


def too_large(limit: int, length: int | None) -> ResourceLimit:
    """Of a body with more than ``limit`` bytes, ``length`` of them if that is known.

    What is left of one that ends soon is let in and thrown away, so that its sender sees the
    answer; of another the connection is closed.
    """
    words = f"the body is larger than {limit:,} bytes; send less at a time"
    return ResourceLimit(words, code="body_too_large", close=length is None or length > BULK)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise InvalidInput("an object has a key twice", code="duplicate_key")
    return found


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**63:
        raise InvalidInput("a number is beyond 64 bits", code="number_range")
    return value


def _fraction(text: str) -> float:
    value = float(text) if len(text) < 100 else math.inf
    if not math.isfinite(value):
        raise InvalidInput("a number is not finite", code="number")
    return value


def _constant(text: str) -> float:
    raise InvalidInput("NaN and Infinity are no JSON numbers", code="number")


def _deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if depth == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_deeper(each, depth - 1) for each in inner if isinstance(each, dict | list))
