"""JSON that has one form: RFC 8785 for what receipts hold, which is text, whole numbers, finite
fractions and no more.

Keys sorted by their UTF-16 code units, no white space, the shortest decimal that gives the number
again, as ECMAScript writes it. What is signed and hashed is these bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any

from alteraser.errors import IntegrityError, InvalidInput

LARGEST = 2**53 - 1
"""Whole numbers beyond it are not the same to everybody who reads JSON"""


def canonical(value: Any) -> bytes:
    """``value`` in its one form; InvalidInput for what has none.

    >>> canonical({"b": 1.0, "a": [True, None, "é", 1e21, 1e-7]})
    b'{"a":[true,null,"\\xc3\\xa9",1e+21,1e-7],"b":1}'
    """
    try:
        return _written(value).encode("utf-8")
    except UnicodeEncodeError as cause:
        raise InvalidInput(f"JSON: {cause.object!r} is not valid Unicode text") from cause


def parsed(content: bytes, what: str) -> Any:
    """The value of ``content``; IntegrityError, naming ``what``, unless these are its very bytes in
    the one form.
    """
    try:
        value = json.loads(content, parse_int=_whole)
        again = canonical(value)
    except (ValueError, RecursionError, InvalidInput) as cause:
        raise IntegrityError(f"{what}: not JSON ({cause})", step="parse") from cause
    if again != content:
        raise IntegrityError(
            f"{what}: not in canonical form (RFC 8785): it was edited or re-written",
            step="canonical",
        )
    return value


def _whole(text: str) -> int | float:
    """As ``canonical`` had it: a fraction, where it is too large to be a whole number there."""
    return int(text) if len(text) < 16 or abs(int(text)) <= LARGEST else float(text)


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > LARGEST:
            raise InvalidInput(f"JSON: {value} is beyond 2**53; write it as text")
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(each) for each in value) + "]"
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise InvalidInput("JSON: keys are text")
        ordered = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_written(key)}:{_written(value[key])}" for key in ordered) + "}"
    raise InvalidInput(f"JSON: {type(value).__name__} has no form")


def number(value: float) -> str:
    """A finite number as ECMAScript's Number::toString writes it.

    >>> [number(x) for x in (0.0, -0.0, 1e20, 1e21, 0.000001, 1e-7, 123.456, -1.5e300)]
    ['0', '0', '100000000000000000000', '1e+21', '0.000001', '1e-7', '123.456', '-1.5e+300']
    """
    if not math.isfinite(value):
        raise InvalidInput(f"JSON: {value} is not a number that it has")
    if value == 0:
        return "0"
    sign, digits, exponent = _decimal(value)
    count, point = len(digits), len(digits) + exponent
    if count <= point <= 21:
        text = digits + "0" * (point - count)
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
        text = digits[0] + (f".{digits[1:]}" if count > 1 else "") + power
    return sign + text


def _decimal(value: float) -> tuple[str, str, int]:
    """(sign, digits, exponent): the shortest digits that give the number again are those of
    ``repr``.
    """
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits, exponent = (whole + fraction).lstrip("0"), int(power or 0) - len(fraction)
    stripped = digits.rstrip("0")
    return ("-" if value < 0 else ""), stripped, exponent + len(digits) - len(stripped)
