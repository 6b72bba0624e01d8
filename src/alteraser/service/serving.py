"""Lists from the version that is served, whichever that is at the moment of the question."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, select

from alteraser.data.ids import convert_ids, named_ids
from alteraser.data.side.attributes import Attributes, read_attributes
from alteraser.data.side.given import ITEM, USER
from alteraser.data.side.holding import HeldSources
from alteraser.data.side.spec import FeatureFile
from alteraser.engines.store.version import Version
from alteraser.errors import AltEraserError, InvalidInput, NotFound
from alteraser.ledger import batches, schema, versions
from alteraser.ledger.asked import Asked
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.protocol import Ranking
from alteraser.models.relational.composite import CompositeModel
from alteraser.service.asides import Asides
from alteraser.service.remaining import best_without, list_of_remaining, whose
from alteraser.service.state import State

INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
LONGEST = 1000
"""Items in a list"""
KEPT = 10_000
"""Lists that are kept while their version is served"""
QUICK = 0.002
"""Seconds that a list may take which is made while all others wait"""
NONE = np.empty(0, np.int64)
LOOK = 0.25
"""Seconds between two looks for a version that will be served"""


class _Served:
    """A version, what its lists are made with, and those that were asked for."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.takes = np.inf
        """Seconds that the last list of somebody's whole history took"""
        self._forming = threading.Lock()
        self._ranking: Ranking | None = None
        self.list = lru_cache(KEPT)(self._list)
        self.whose = lru_cache(KEPT)(partial(whose, version))

    def _list(
        self, row: int, k: int, left: tuple[Asked, ...], context: tuple[tuple[str, str], ...] = ()
    ) -> tuple[list[Any], list[float], int]:
        """Items, their scores, and how many interactions of the version they are made without:
        what ``left`` name.
        """
        ranking, began = self.ranking, time.perf_counter()
        items, scores, without = list_of_remaining(
            self.version, row, left, k, ranking, dict(context)
        )
        if not left and not context:
            self.takes = time.perf_counter() - began
        listed = items >= 0
        names = self.version.model.items.ids_of(items[listed]).to_pylist()
        return names, scores[listed].tolist(), without

    def whole(
        self, row: int, left: tuple[Asked, ...], context: tuple[tuple[str, str], ...]
    ) -> tuple[list[Any], list[float], int]:
        """``list`` of all items, which is not kept."""
        return self._list(row, self.version.model.shape[1], left, context)

    @property
    def ranking(self) -> Ranking:
        """What makes its lists, formed when the first is made."""
        if self._ranking is None:
            with self._forming:
                if self._ranking is None:
                    self._ranking = self.version.model.ranking(self.version.data)
        return self._ranking

    def warm(self) -> None:
        """Make a list, so that nobody who asks waits for what the first one has to do."""
        if self.version.model.users.size:
            with suppress(AltEraserError):  # who asks is told
                for _ in range(2):  # the first one compiles what is not compiled yet
                    self._list(int(self.version.model.users.rows[0]), 1, ())


@dataclass(frozen=True)
class LedgerLook:
    """At the ledger: the version that the pointer names, and what is not to be shown of it."""

    version: str
    gone: bool
    """Whether who is asked about is to be forgotten"""
    items: frozenset[Any]
    parts: tuple[Asked, ...] = ()
    """What of theirs is to be forgotten, of who stays"""
    groups: tuple[Asked, ...] = ()
    """What is to be forgotten whosever it is: sessions, baskets, items that a hold keeps of
    somebody"""


def _without(
    hidden: frozenset[Any], names: list[Any], scores: list[float], k: int
) -> tuple[list[Any], list[float]]:
    if not hidden:
        return names[:k], scores[:k]
    left = [(name, score) for name, score in zip(names, scores, strict=True) if name not in hidden]
    return [name for name, _ in left[:k]], [score for _, score in left[:k]]


def _among(
    version: Version, one: Any, among: Sequence[Any], names: list[Any], scores: list[float]
) -> tuple[list[Any], list[float]]:
    """Of a list of all items those ``among`` others, and with them those that nobody had, whose
    features tell what they are to ``one``, a model of one user; InvalidInput for ids of another
    kind.
    """
    model = version.model
    try:
        ids = convert_ids(named_ids(list(among), "among"), model.items.kind, "among")
    except InvalidInput as cause:
        raise InvalidInput(cause.message, code="among") from cause
    wanted = set(ids.to_pylist())
    found = [pair for pair in zip(names, scores, strict=True) if pair[0] in wanted]
    held = version.held
    known = held.given.attributes.get(ITEM) if isinstance(held, HeldSources) else None
    if known is not None and one is not None:
        cold = ids.filter(pa.array(model.items.rows_of(ids) < 0))
        new = one.of_items(known.at(known.places(cold)))
        rows, values = new.top_items(np.zeros(1, np.int64), k=max(new.items.size, 1))
        there = rows[0] >= 0
        found += zip(
            new.items.ids_of(rows[0][there]).to_pylist(), values[0][there].tolist(), strict=True
        )
        found.sort(key=lambda pair: -pair[1])
    return [name for name, _ in found], [score for _, score in found]


def for_somebody(body: Any) -> dict[str, Any]:
    """``{"features": {"age": 31, "job": ["cook"]}, "context"?: {…}, "among"?: […], "k"?: …,
    "scores"?: …}``, or ``user`` in the place of ``features``; InvalidInput.
    """
    whose, known = {"features", "user"}, {"context", "among", "k", "scores"}
    if not isinstance(body, dict) or len(whose & body.keys()) != 1 or body.keys() - whose - known:
        raise InvalidInput(
            "expected features of somebody new, or a user, and context, among, k or scores",
            code="unknown_field",
        )
    context, k, scores = body.get("context", {}), body.get("k", 10), body.get("scores", False)
    if not isinstance(context, dict) or not all(isinstance(x, str) for x in context.values()):
        raise InvalidInput('context: expected {"NAME": "word"}', code="context")
    if isinstance(k, bool) or not isinstance(k, int) or not isinstance(scores, bool):
        raise InvalidInput("k: expected a whole number; scores: true or false", code="type")
    how = {"k": k, "context": context, "scores": scores, "among": _chosen(body)}
    return _whose(body) | how


def _whose(body: dict[str, Any]) -> dict[str, Any]:
    """For a user, or for somebody with features."""
    if "user" in body:
        if not _is_id(body["user"]):
            raise InvalidInput("user: expected an id, and no empty one", code="user")
        return {"user": str(body["user"])}
    features = body["features"]
    if not isinstance(features, dict) or not features:
        raise InvalidInput('features: expected {"NAME": value}, one at least', code="features")
    return {"features": features}


def _chosen(body: dict[str, Any]) -> list[Any] | None:
    """Items to choose among."""
    among = body.get("among")
    if "among" in body and not (among and isinstance(among, list) and all(map(_is_id, among))):
        raise InvalidInput("among: expected ids of items, one at least, none empty", code="among")
    return among


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and value != ""


def described(model: Any, features: Mapping[str, Any]) -> Attributes:
    """``features`` as one user's; InvalidInput for those that ``model`` does not have, or that are
    not of their kind.
    """
    columns = model.settings.features.get(USER, ()) if isinstance(model, CompositeModel) else ()
    kinds = {x.column: x.kind for x in columns}
    unknown = sorted(set(features) - kinds.keys())
    if unknown or not kinds:
        there = ", ".join(kinds) or "none: it was trained without features of users"
        raise InvalidInput(f"features: of users the model here has {there}", code="features")
    name, table = "user_id", {}
    while name in kinds:
        name += "_"
    for column, value in features.items():
        _check_feature(column, value, kinds[column])
        table[column] = pa.array([value])
    file = FeatureFile(pa.table({name: pa.array([0]), **table}), tuple(table), tuple(kinds.items()))
    try:
        return read_attributes(file, USER, name, option="features")
    except InvalidInput as cause:
        raise InvalidInput(f"features: {cause.message}", code="features") from cause


def _check_feature(column: str, value: Any, kind: str) -> None:
    words = isinstance(value, list) and all(isinstance(x, str) for x in value)
    plain = isinstance(value, int | float | str) and not isinstance(value, bool)
    if not (words or plain) or (words and kind == "number"):
        expected = "a number" if kind == "number" else "text, or a list of texts"
        raise InvalidInput(f"features.{column}: expected {expected}", code="features")


def _known(version: Version, name: Any) -> Attributes:
    """What is known of a user who has no row; NotFound where there is nothing."""
    held = version.held
    attributes = held.given.attributes.get(USER) if isinstance(held, HeldSources) else None
    at = NONE if attributes is None or name is None else attributes.places([name])
    if attributes is None or not at.size:
        raise NotFound("there is no such user", code="user")
    known = attributes.at(at)
    if all(x.missing.size for x in known.features):
        raise NotFound("there is no such user", code="user")
    return known


def _in_words(model: Any, context: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """``context`` in an order of its own; InvalidInput, or NotFound, for one that the model does
    not tell apart.
    """
    if context and not isinstance(model, CompositeModel):
        raise InvalidInput("the model here tells no contexts apart", code="context")
    try:
        model.only(0).in_context(context) if context else None
    except (InvalidInput, NotFound) as cause:
        raise type(cause)(cause.message.replace("--", ""), code="context") from cause
    return tuple(sorted(context.items()))


class Serving:
    """The served version in memory. A question is answered by one version as a whole, the pointer's
    at that moment.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._served = _Served(state.load_serving())
        self._next: _Served | None = None
        self._aside, self._asides = threading.Lock(), Asides()

    def warm(self) -> None:
        """Be ready for the first who asks."""
        self._served.warm()

    def install(self, version: Version) -> None:
        """Serve ``version``, which the ledger's pointer names."""
        self._served = _Served(version)

    def follow(self, ended: threading.Event) -> None:
        """Have the version that a batch made in memory before the pointer names it, so that nobody
        waits for its files; until ``ended``.
        """
        while not ended.wait(LOOK):
            with suppress(Exception):  # who asks is told, or it is there when somebody asks
                with self._state.database.reading() as connection:
                    made = batches.made(connection)
                    wanted = versions.serving(connection).version
                if made is not None:
                    self._ahead(made)
                self._of(wanted)

    def _ahead(self, name: str) -> None:
        there = {self._served.version.id, None if self._next is None else self._next.version.id}
        if name not in there:
            made = _Served(self._state.load(name))
            made.warm()
            self._next = made

    def current(self) -> Version:
        """The version that the pointer names."""
        with self._state.database.reading() as connection:
            return self._of(versions.serving(connection).version).version

    def _of(self, wanted: str) -> _Served:
        found = self._served
        if found.version.id == wanted:
            return found
        with self._lock:
            if self._served.version.id != wanted:
                ahead, self._next = self._next, None
                there = ahead is not None and ahead.version.id == wanted
                self._served = ahead if there and ahead else self._loaded(wanted)
            return self._served

    def _loaded(self, wanted: str) -> _Served:
        """``wanted``, or where that was followed by others and is gone by now, the one that is
        served.
        """
        while True:
            try:
                return _Served(self._state.load(wanted))
            except (AltEraserError, OSError):
                with self._state.database.reading() as connection:
                    now = versions.serving(connection).version
                if now == wanted:
                    raise
                wanted = now

    def look(self, connection: Connection, user: str | None) -> LedgerLook | None:
        """What an answer about ``user``, or about nobody, goes by; None where a newer snapshot than
        this was seen.
        """
        with self._aside:
            if not self._asides.follow(connection):
                return None
            name = None if user is None else self._named(user)
            asides, version = self._asides, versions.serving(connection).version
            return LedgerLook(
                version,
                name in asides.users,
                frozenset(asides.items),
                asides.parts_of(name),
                tuple(asides.groups.values()),
            )

    def quick(self, look: LedgerLook | None) -> bool:
        """Whether a list after this look takes less than handing it to a thread."""
        if look is None or look.parts or look.groups:
            return False
        return look.version == self._served.version.id and self._served.takes < QUICK

    def _named(self, user: str) -> int | str | None:
        if not user:
            raise InvalidInput("user: the id is empty; write whose list it is", code="id_empty")
        if self._served.version.model.users.kind != "int64":
            return user
        return int(user) if INTEGER.fullmatch(user) and -(2**63) <= int(user) < 2**63 else None

    def recommend(
        self,
        user: str,
        k: int,
        *,
        scores: bool = False,
        look: LedgerLook | None = None,
        context: Mapping[str, str] | None = None,
        among: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """The best items for ``user``, without those they have, and those that are to be forgotten;
        NotFound for who is not there, or no longer, or is to be forgotten. ``look``: at the ledger,
        where that was taken.

        ``set_aside``: how many interactions of theirs, which the version still has, the list is
        made without, since they are to be forgotten; left out where there are none. ``context``: of
        a model that tells contexts apart; InvalidInput for another one. ``among``: of these items
        alone, those that nobody had included where their features are known.
        """
        if not 1 <= k <= LONGEST:
            raise InvalidInput(f"k: expected 1 to {LONGEST}", code="k")
        while look is None:
            with self._state.database.reading() as connection:
                look = self.look(connection, user)
        served, name = self._of(look.version), None if look.gone else self._named(user)
        version, model = served.version, served.version.model
        words = _in_words(model, context or {})
        row = -1 if name is None else int(model.users.rows_of(pa.array([name]))[0])
        if row < 0:
            known = _known(version, name)
            return {"user_id": name} | self._of_nobody(served, known, k, look, words, scores, among)
        left = look.parts + tuple(each for each in look.groups if row in served.whose(each))
        if among is None:
            names, found, without = served.list(row, k + len(look.items), left, words)
        else:  # a list of everything is none to keep
            names, found, without = served.whole(row, left, words)
            one = None
            if isinstance(model, CompositeModel):
                one = model.only(row).in_context(dict(words))
            names, found = _among(version, one, among, names, found)
        names, found = _without(look.items, names, found, k)
        entries: list[dict[str, Any]] = [{"item_id": item} for item in names]
        if scores:
            for entry, score in zip(entries, found, strict=True):
                entry["score"] = score
        shown = {"user_id": name, "items": entries, "version": version.id}
        return shown | {"set_aside": without} if without else shown

    def of_features(
        self,
        features: Mapping[str, Any],
        k: int,
        *,
        context: Mapping[str, str],
        scores: bool = False,
        look: LedgerLook | None = None,
        among: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """The best items for somebody of whom only ``features`` are known, without those that are
        to be forgotten; InvalidInput for features that the model does not have.
        """
        if not 1 <= k <= LONGEST:
            raise InvalidInput(f"k: expected 1 to {LONGEST}", code="k")
        while look is None:
            with self._state.database.reading() as connection:
                look = self.look(connection, None)
        served = self._of(look.version)
        words = _in_words(served.version.model, context)
        known = described(served.version.model, features)
        return self._of_nobody(served, known, k, look, words, scores, among)

    def _of_nobody(
        self,
        served: _Served,
        known: Attributes,
        k: int,
        look: LedgerLook,
        words: tuple[tuple[str, str], ...],
        scores: bool,
        among: Sequence[Any] | None = None,
    ) -> dict[str, Any]:
        """The list of one of whom only features are known."""
        model = served.version.model
        assert isinstance(model, CompositeModel)
        hidden = model.items.rows_of(sorted(look.items, key=repr)) if look.items else NONE
        one = model.of_users(known).in_context(dict(words))
        length = k if among is None else model.items.size
        items, values = best_without(one, hidden[hidden >= 0], length)
        listed = items >= 0
        names, found = model.items.ids_of(items[listed]).to_pylist(), values[listed].tolist()
        if among is not None:
            names, found = _among(served.version, one, among, names, found)
            names, found = _without(look.items, names, found, k)
        names, found = names[:k], found[:k]
        entries: list[dict[str, Any]] = [{"item_id": item} for item in names]
        if scores:
            for entry, score in zip(entries, found, strict=True):
                entry["score"] = score
        return {"items": entries, "version": served.version.id}

    def of_segment(
        self, segment: str, k: int, *, scores: bool = False, look: LedgerLook | None = None
    ) -> dict[str, Any]:
        """The best items for whoever is of ``segment``, without those that are to be forgotten;
        NotFound for one that is not there, InvalidInput where nothing is counted by segment.
        """
        if not 1 <= k <= LONGEST:
            raise InvalidInput(f"k: expected 1 to {LONGEST}", code="k")
        while look is None:
            with self._state.database.reading() as connection:
                look = self.look(connection, None)
        version = self._of(look.version).version
        if not isinstance(version.model, ExactModel) or version.data.segments is None:
            raise InvalidInput("the model here is not counted by segment", code="segment")
        try:
            lists = version.model.of_segments([segment], k=k + len(look.items))
        except NotFound:
            raise NotFound("there is no such segment", code="segment") from None
        entries = [each for each in lists[0]["items"] if each["item_id"] not in look.items][:k]
        if not scores:
            entries = [{"item_id": each["item_id"]} for each in entries]
        return {"segment": segment, "items": entries, "version": version.id}

    def changes(self, since: str) -> dict[str, Any]:
        """Whose list differs between ``since`` and the served version, and which rows moved;
        ``all``: not known, take it to be all. The answer's ``version`` is the next ``since``.
        """
        version = self.current()
        found, back = version.content.changes, self._back(version.id, since)
        everything = {"all": True, "users": [], "items": []}
        answer = {"since": since, "version": version.id, "all": True, "users": [], "rows": None}
        if back == 0:
            rows = {**everything, "all": False} if found and found.rows is not None else None
            return answer | {"all": False, "rows": rows}
        if found is None or back is None or back > found.depth:
            return answer | {"rows": everything if found and found.rows is not None else None}
        users, moved = found.users(found.depth - back), found.moved(found.depth - back)
        if users is not None:
            answer |= {"all": False, "users": users.to_pylist()}
        if moved is not None:
            named = dict(zip(("users", "items"), (each.to_pylist() for each in moved), strict=True))
            return answer | {"rows": {"all": False, **named}}
        return answer | {"rows": None if found.rows is None else everything}

    def _back(self, version: str, since: str) -> int | None:
        """How many versions before ``version`` the one called ``since`` is; None: it is none of
        them.
        """
        with self._state.database.reading() as connection:
            found = connection.execute(select(schema.versions.c.id, schema.versions.c.parent))
            parents = {row.id: row.parent for row in found}
        steps, at = 0, version
        while at != since:
            parent = parents.get(at)
            if parent is None:
                return None
            steps, at = steps + 1, parent
        return steps
