"""Ids in what strangers send: of the type that the model's are, and no longer than anything is."""

from __future__ import annotations

from typing import Any, Literal

from alteraser.errors import InvalidInput, ResourceLimit

LENGTH = 64 * 1024
"""Bytes of an id"""

Id = int | str
IdType = Literal["int64", "string"]


def id_of(value: Any, kind: IdType, where: str) -> Id:
    """``value`` as an id of its type; InvalidInput or ResourceLimit. Nothing is converted."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _invalid("type", f"{where}: an id is a {_words(kind)}, found {_kind_of(value)}")
    if isinstance(value, str) != (kind == "string"):
        raise _invalid(
            "id_type", f"{where}: the ids here are {_words(kind)}s, found a {_kind_of(value)}"
        )
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise _invalid("number_range", f"{where}: an id beyond 64 bits")
        return value
    if not value:
        raise _invalid("id_empty", f"{where}: the id is empty; leave it out, or write the whole id")
    if value == "*":
        raise _invalid("wildcard", f"{where}: '*' is no id; there is no way to name all")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise _invalid("encoding", f"{where}: an id that is not valid Unicode text") from None
    if size > LENGTH:
        raise ResourceLimit(
            f"{where}: an id of {size:,} bytes, at most {LENGTH:,}", code="string_too_long"
        )
    return value


def _words(kind: IdType) -> str:
    return "whole number" if kind == "int64" else "text"


def _kind_of(value: Any) -> str:
    names = {
        bool: "truth value",
        int: "whole number",
        float: "fraction",
        str: "text",
        list: "list",
        dict: "object",
    }
    return names.get(type(value), "null")


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code)
