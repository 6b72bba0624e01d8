"""What somebody asks to be forgotten, from the body of a request: checked once, the same over HTTP,
file and command.

    {"users": [1, 2]}    {"items": ["tea"]}    {"pairs": [[1, "tea"]]}
        {"user": 1, "since": "2026-03-01", "until": …}
    {"sessions": ["s3"]}    {"baskets": ["b7"]}, of whoever has one of that name
        {"user": 1, "sessions": ["s3"]}, of this user alone

and where the model learned from several sources

    {"users": [1], "from": "views"}    of one of them alone; all others mean every source
    {"entity": {"table": "tag", "id": "jazz"}}, {"entities": […]}    everywhere
    {"attributes": ["user:age"]}, {"attributes": ["user:age"], "users": [1]}    what is known

with optional ``regulation`` (gdpr, ccpa), ``due`` (earlier than the regulation's), ``hold``: true,
or a list of pairs that a legal hold keeps. A field that is not known is refused, and a missing one
never means "all".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser.data.ids import as_id_array
from alteraser.data.selection import Selection, Window
from alteraser.data.side.given import MAIN
from alteraser.data.side.windows import settled_in
from alteraser.errors import InvalidInput, ResourceLimit
from alteraser.ledger.due import REGULATIONS, moment
from alteraser.ledger.ids import Id, IdType, id_of
from alteraser.ledger.sources import (
    SEVERAL,
    DeclaredSources,
    attribute,
    ends,
    entity,
    in_order,
    source_of,
)

IDS = 100_000
"""Ids, or pairs of them, in a request"""
GROUPS = ("sessions", "baskets")
SCOPES = ("users", "items", "pairs", *GROUPS, "user", *SEVERAL)
FIELDS = frozenset({*SCOPES, "from", "since", "until", "regulation", "due", "hold"})

AskedKind = Literal[
    "users",
    "items",
    "pairs",
    "window",
    "sessions",
    "baskets",
    "events",
    "entities",
    "attributes",
    "parts",
]


@dataclass(frozen=True)
class Declared:
    """What the ids of a state are, and whether its interactions have times."""

    users: IdType
    items: IdType
    times: int | None
    """The largest of the interactions' times, which tells their unit; None: they have none"""
    groups: tuple[str, IdType] | None = None
    """``sessions`` or ``baskets`` and what their ids are; None: they have none"""
    sources: DeclaredSources | None = None
    """Where the model learned from several; None: from interactions alone"""

    def timed(self, source: str | None) -> dict[str, npt.NDArray[Any]]:
        """By relation, a time that tells the unit of its times; ``source``: of that one alone."""
        if self.sources is None:
            known = {} if self.times is None else {MAIN: self.times}
        elif source is None:
            known = dict(self.sources.times)
        else:
            whole = source.split("/")[0]  # sorts of triples share a column
            known = {x: at for x, at in self.sources.times.items() if x in (source, whole)}
        return {name: np.array([at]) for name, at in known.items()}


@dataclass(frozen=True)
class Asked:
    """A request that can be done."""

    kind: AskedKind
    names: tuple[Any, ...]
    """Distinct ids, or (user, item) pairs, sorted; (table, id) of entities, ``table:feature`` of
    attributes; of events and parts, which a restored state alone asks for, (user, item, group,
    time), each of the last None where the data have none, and what ``data.side.parts`` tells"""
    since: int | str | None = None
    until: int | str | None = None
    kept: tuple[tuple[Id, Id], ...] = ()
    """Pairs that a legal hold keeps"""
    held: bool = False
    regulation: str = "gdpr"
    due: datetime | None = None
    user: Id | None = None
    """Whose sessions or baskets alone; None: everybody's of these names"""
    source: str | None = None
    """The relation of which alone; None: every source"""
    of: tuple[Id, ...] | None = None
    """Whose attributes alone; None: everybody's"""
    unknown: tuple[str, ...] = ()
    """Hashes that were given for users, and that are of nobody here; with no names beside them
    there is nothing to forget"""

    @property
    def document(self) -> str:
        """What is to be forgotten as JSON, the same for the same request: keys sorted, no white
        space.
        """
        body: dict[str, Any] = {"kind": self.kind, "names": self.names}
        body |= {
            name: value
            for name, value in (("since", self.since), ("until", self.until))
            if value is not None
        }
        body |= {"kept": self.kept} if self.kept else {}
        further = {"user": self.user, "from": self.source, "of": self.of}
        body |= {name: value for name, value in further.items() if value is not None}
        body |= {"unknown": self.unknown} if self.unknown else {}
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def read(cls, document: str) -> Asked:
        """From ``document``."""
        body = json.loads(document)
        names = tuple(tuple(name) if isinstance(name, list) else name for name in body["names"])
        kept = tuple((user, item) for user, item in body.get("kept", ()))
        since, until, user, source = (body.get(name) for name in ("since", "until", "user", "from"))
        of = tuple(body["of"]) if "of" in body else None
        given = {"user": user, "source": source, "of": of}
        unknown = tuple(body.get("unknown", ()))
        return cls(body["kind"], names, since, until, kept, unknown=unknown, **given)

    @property
    def selection(self) -> Selection:
        """What ``forget`` understands by it; a hold's pairs are not taken out yet."""
        if self.kind == "pairs":
            return Selection.of(self.names)
        if self.kind == "items":
            return Selection.of(self.names, whole_items=True)
        if self.kind in GROUPS:
            groups = as_id_array(list(self.names), self.kind)
            users = None if self.user is None else as_id_array([self.user] * len(groups), "user")
            return Selection(users, groups=groups, group_name=self.kind.removesuffix("s"))
        if self.kind == "events":
            users, items, groups, times = zip(*self.names, strict=True)
            pairs = Selection.of(list(zip(users, items, strict=True)))
            return replace(
                pairs,
                groups=None if groups[0] is None else as_id_array(list(groups), "group"),
                at=None if times[0] is None else np.array(times, np.int64),
            )
        window = (
            None if self.since is None and self.until is None else Window(self.since, self.until)
        )
        return Selection.of(self.names, whole_users=True, window=window)


def asked(body: Any, declared: Declared) -> Asked:
    """The request in ``body``; InvalidInput or ResourceLimit, whose ``code`` says what is wrong
    with it.

    >>> asked({"users": [3, 1, 3]}, Declared("int64", "int64", None)).names
    (1, 3)
    """
    if not isinstance(body, Mapping):
        raise _invalid("body", "expected a JSON object")
    unknown = sorted(set(body) - FIELDS)
    if unknown:
        raise _invalid(
            "unknown_field",
            f"{len(unknown)} field(s) not known; known are {', '.join(sorted(FIELDS))}",
        )
    scope, beside = _scopes(body)
    source = source_of(body, scope, declared.sources)
    regulation = body.get("regulation", "gdpr")
    if regulation not in REGULATIONS:
        raise _invalid("regulation", f"regulation: expected one of {', '.join(REGULATIONS)}")
    held, kept = _hold(body.get("hold", False), declared)
    due = _due(body.get("due"))
    since, until = _window(body, beside or scope, declared, source)
    of_user, of_some = scope in GROUPS and beside is not None, scope == "attributes"
    return Asked(
        _kind(scope, since, until),
        _names(scope, body[scope], declared, source),
        since,
        until,
        kept,
        held,
        regulation,
        due,
        id_of(body["user"], declared.users, "user") if of_user else None,
        source,
        _of(beside, body, declared) if of_some and beside is not None else None,
    )


def _scopes(body: Mapping[str, Any]) -> tuple[str, str | None]:
    """(what is asked for, whose of it alone); InvalidInput where that is nothing, or several
    things.
    """
    given = [name for name in SCOPES if name in body]
    if not given:
        raise _invalid("scope_missing", f"name what is to be forgotten: one of {', '.join(SCOPES)}")
    if len(given) == 1:
        return given[0], None
    first, second = given[0], given[1]
    if len(given) == 2 and first in GROUPS and second == "user":
        return first, second
    if len(given) == 2 and second == "attributes" and first in ("users", "items", "user"):
        return second, first
    raise _invalid("scope_ambiguous", f"{' and '.join(given)} in one request: send one for each")


def _of(scope: str, body: Mapping[str, Any], declared: Declared) -> tuple[Id, ...]:
    """Whose attributes; InvalidInput for those of another table."""
    table = "item" if scope == "items" else "user"
    if any(not name.startswith(f"{table}:") for name in body["attributes"]):
        raise _invalid("attributes", f"attributes: {scope} go with those of {table}s")
    return _names(scope, body[scope], declared)


def _kind(scope: str, since: Any, until: Any) -> Any:
    if scope == "entity":
        return "entities"
    if scope != "user":
        return scope
    return "users" if since is None and until is None else "window"


def _names(
    scope: str, given: Any, declared: Declared, source: str | None = None
) -> tuple[Any, ...]:
    if scope == "user":
        return (id_of(given, declared.users, "user"),)
    if scope == "entity":
        return (entity(given, declared.sources),)
    if not isinstance(given, list):
        raise _invalid("type", f"{scope}: expected a list")
    if not given:
        raise _invalid("scope_empty", f"{scope}: the list is empty; that never means all")
    if len(given) > IDS:
        raise ResourceLimit(
            f"{scope}: {len(given):,} in one request, at most {IDS:,}", code="too_many_ids"
        )
    if scope == "pairs" and source is not None:
        return tuple(sorted({ends(pair, declared.sources, source) for pair in given}, key=in_order))
    read = _reader(scope, declared)
    return tuple(sorted({read(each) for each in given}))


def _reader(scope: str, declared: Declared) -> Callable[[Any], Any]:
    """What makes a name of an element of a list."""
    if scope == "entities":
        return lambda given: entity(given, declared.sources)
    if scope == "attributes":
        return lambda given: attribute(given, declared.sources)
    if scope == "pairs":
        return lambda given: _pair(given, declared, scope)
    side = declared.users if scope == "users" else declared.items
    if scope in GROUPS:
        side = _groups(scope, declared)
    return lambda given: id_of(given, side, scope)


def _groups(scope: str, declared: Declared) -> IdType:
    """What the ids of these groups are; InvalidInput where there are none."""
    if declared.groups is None or declared.groups[0] != scope:
        have = f"; there are {declared.groups[0]}" if declared.groups else ""
        raise _invalid(f"no_{scope}", f"the interactions here are in no {scope} with ids{have}")
    return declared.groups[1]


def _pair(pair: Any, declared: Declared, where: str) -> tuple[Id, Id]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise _invalid("type", f"{where}: expected [user, item] for each")
    return id_of(pair[0], declared.users, where), id_of(pair[1], declared.items, where)


def _hold(given: Any, declared: Declared) -> tuple[bool, tuple[tuple[Id, Id], ...]]:
    if isinstance(given, bool):
        return given, ()
    if not isinstance(given, list) or not given:
        raise _invalid(
            "hold", "hold: expected true, false, or a list of [user, item] pairs that are to stay"
        )
    if len(given) > IDS:
        raise ResourceLimit(f"hold: {len(given):,} pairs, at most {IDS:,}", code="too_many_ids")
    return False, tuple(sorted({_pair(pair, declared, "hold") for pair in given}))


def _due(given: Any) -> datetime | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise _invalid("due", "due: expected a date or time as text, such as 2026-03-01")
    try:
        return moment(given)
    except InvalidInput as cause:
        raise _invalid("due", cause.message) from None


def _window(
    body: Mapping[str, Any], scope: str, declared: Declared, source: str | None
) -> tuple[Any, Any]:
    if "since" not in body and "until" not in body:
        return None, None
    if scope != "user":
        raise _invalid("window", f"since and until go with user, not with {scope}")
    times = declared.timed(source)
    if not times:
        whose = "the interactions here" if source is None else f"the rows of {source}"
        raise _invalid("no_times", f"{whose} have no times, so a window of them cannot be found")
    since, until = body.get("since"), body.get("until")
    for value in (since, until):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | str)):
            raise _invalid(
                "window",
                "since and until: expected ISO 8601 or a whole number in the data's unit of time",
            )
    try:
        settled_in(Window(since, until), times)
    except InvalidInput as cause:
        raise _invalid("window", cause.message.replace("--", "")) from None
    return since, until


def _invalid(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code)
