"""Whom a model has erased, as keyed hashes: enough to know them when they come back, nothing to
read them from.

    h(user) = HMAC-SHA256(key, 0x55 ‖ e(user))[:16]
    h(item) = HMAC-SHA256(key, 0x49 ‖ e(item))[:16]
    h(pair) = HMAC-SHA256(key, 0x50 ‖ len(e(user)) as 8 bytes, big-endian ‖ e(user) ‖ e(item))[:16]
    h(row)  = HMAC-SHA256(key, 0x52 ‖ len and e of user ‖ of item ‖ of group ‖ of time)[:16]
        of events in sessions or baskets; of what they do not have the length 0 and nothing
    e(id)   = 0x69 ‖ 8 bytes, big-endian two's complement    for an integer
              0x73 ‖ UTF-8                                   for a string

HMAC is that of RFC 2104. The key is random and lies beside the model (``OUT.key``), not in it: the
model may be given away, and without the key the hashes tell nobody's id, not even by trying all of
them. Where the key is lost, what was erased before stays on record under its fingerprint and cannot
be recognized; what is erased afterwards gets a new key.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.data.files import replace_file
from alteraser.data.interactions import Interactions, Removal
from alteraser.data.selection import Selection
from alteraser.errors import IntegrityError, NotFound, OutputExists, RefusedByPolicy

Rows = npt.NDArray[np.int64]
Id = int | str
Named = tuple[Id, Id, Id | None, int | None]
"""An event: user, item, group, time"""
NAMES = {"key", "users", "items", "pairs"}

KEY_BYTES, HASH_BYTES = 32, 16
USER, ITEM, PAIR, ROW = b"\x55", b"\x49", b"\x50", b"\x52"
READMIT = "--readmit"


def encode(value: Id) -> bytes:
    """An id as bytes, its type included: 3 and "3" are two.

    >>> encode("tea"), encode(3)
    (b'stea', b'i\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x03')
    """
    if isinstance(value, str):
        return b"s" + value.encode()
    return b"i" + int(value).to_bytes(8, "big", signed=True)


@dataclass(frozen=True)
class ErasedGroup:
    """What was erased under one key; hashes in hexadecimal."""

    key: str
    """The key's fingerprint"""
    users: frozenset[str] = frozenset()
    """Users of whom nothing remained"""
    items: frozenset[str] = frozenset()
    """Items that were to go whole"""
    pairs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Of users of whom something remained, by the hash of the user, the pairs that went."""
    rows: frozenset[str] = frozenset()
    """Events that went, of pairs of which others remained"""

    def to_document(self) -> dict[str, Any]:
        """For JSON, sorted."""
        return {
            "key": self.key,
            "users": sorted(self.users),
            "items": sorted(self.items),
            "pairs": {user: sorted(self.pairs[user]) for user in sorted(self.pairs)},
        } | ({"rows": sorted(self.rows)} if self.rows else {})


@dataclass(frozen=True)
class Returned:
    """What of some interactions was erased before: places in them, and the hashes by which it was
    known.
    """

    places: Rows
    """Of every such interaction, increasing"""
    users: int
    """Distinct users who were erased whole"""
    items: int
    hashes: frozenset[str]
    pairs: frozenset[str]
    rows: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return int(self.places.size)


@dataclass(frozen=True)
class Erased:
    """The record: one group for every key that there has been, and the keys that are at hand."""

    groups: tuple[ErasedGroup, ...] = ()
    keys: tuple[bytes, ...] = ()
    spare: bytes | None = field(default=None, compare=False, repr=False)
    """Taken where a new key is needed; None: a random one"""
    place: str = field(default="OUT.key beside the model OUT", compare=False, repr=False)
    """Where the keys belong, for messages"""

    def __bool__(self) -> bool:
        return any(group.users or group.items or group.pairs or group.rows for group in self.groups)

    @property
    def locked(self) -> bool:
        """Whether something was erased under a key that is not at hand."""
        at_hand = {fingerprint(key) for key in self.keys}
        return any(group.key not in at_hand for group in self.groups)

    def going_to(self, model: Path) -> Erased:
        """The record as it goes on in the output ``model``, which is not there yet.

        A key that lies there without a model is taken where a new one is needed: so a command that
        is given again writes the very same bytes.
        """
        found = read_keys(model)
        used = {group.key for group in self.groups}
        return replace(
            self, spare=next((key for key in found if fingerprint(key) not in used), None)
        )

    def erasing(
        self,
        users: Iterable[Id] = (),
        items: Iterable[Id] = (),
        pairs: Iterable[tuple[Id, Id]] = (),
        rows: Iterable[Named] = (),
    ) -> Erased:
        """The record with some more: ``users`` of whom nothing remains, ``items`` that were to go
        whole, ``pairs``, and ``rows`` of events.

        They are written under the last group's key, or under a new one where that is not at hand.
        """
        by_print = {fingerprint(key): key for key in self.keys}
        last = self.groups[-1] if self.groups else None
        groups, keys = self.groups[:-1], self.keys
        if last is None or last.key not in by_print:
            key = self.spare or secrets.token_bytes(KEY_BYTES)
            groups, keys, last = self.groups, (*keys, key), ErasedGroup(fingerprint(key))
        else:
            key = by_print[last.key]
        whole = last.users | {_hash(key, USER, user) for user in users}
        parts = {user: set(known) for user, known in last.pairs.items()}
        for user, item in pairs:
            parts.setdefault(_hash(key, USER, user), set()).add(
                pair_hash(key, encode(user), encode(item))
            )
        group = ErasedGroup(
            last.key,
            whole,
            last.items | {_hash(key, ITEM, item) for item in items},
            {user: frozenset(known) for user, known in parts.items() if user not in whole},
            last.rows | {row_hash(key, row) for row in rows},
        )
        return Erased((*groups, group), keys, place=self.place)

    def returned(self, data: Interactions) -> Returned:
        """Which of ``data`` were erased before, as far as the keys at hand tell."""
        hit = np.zeros(len(data), bool)
        found: list[set[str]] = [set(), set(), set(), set()]
        gone_users = np.zeros(data.users.size, bool)
        gone_items = np.zeros(data.items.size, bool)
        by_print = {fingerprint(key): key for key in self.keys}
        for group in self.groups:
            key = by_print.get(group.key)
            if key is None:
                continue
            for tag, ids, counts, known, flags, hashes in (
                (USER, data.users, data.user_counts, group.users, gone_users, found[0]),
                (ITEM, data.items, data.item_counts, group.items, gone_items, found[1]),
            ):
                if known:
                    rows = np.flatnonzero(counts > 0)
                    for row, name in zip(rows.tolist(), ids.ids_of(rows).to_pylist(), strict=True):
                        digest = _hash(key, tag, name)
                        if digest in known:
                            flags[row] = True
                            hashes.add(digest)
            if group.pairs:
                self._mark_pairs(group, key, data, hit, found[2])
            if group.rows and data.events is not None:
                for place, named in zip(_pairs_of_events(data), named_rows(data), strict=True):
                    if (digest := row_hash(key, named)) in group.rows:
                        hit[place] = True
                        found[3].add(digest)
        hit |= gone_users[data.user_rows] | gone_items[data.indices]
        return Returned(
            np.flatnonzero(hit),
            int(gone_users.sum()),
            int(gone_items.sum()),
            frozenset(found[0] | found[1]),
            frozenset(found[2]),
            frozenset(found[3]),
        )

    @staticmethod
    def _mark_pairs(
        group: ErasedGroup,
        key: bytes,
        data: Interactions,
        hit: npt.NDArray[np.bool_],
        found: set[str],
    ) -> None:
        rows = np.flatnonzero(data.user_counts > 0)
        for row, user in zip(rows.tolist(), data.users.ids_of(rows).to_pylist(), strict=True):
            known = group.pairs.get(_hash(key, USER, user))
            if known is None:
                continue
            start, stop = int(data.indptr[row]), int(data.indptr[row + 1])
            first = encode(user)
            for place, item in enumerate(
                data.items.ids_of(data.indices[start:stop]).to_pylist(), start
            ):
                digest = pair_hash(key, first, encode(item))
                if digest in known:
                    hit[place] = True
                    found.add(digest)

    def without(self, returned: Returned) -> Erased:
        """The record without what was let in again."""

        def left(group: ErasedGroup) -> ErasedGroup:
            pairs = {user: known - returned.pairs for user, known in group.pairs.items()}
            return ErasedGroup(
                group.key,
                group.users - returned.hashes,
                group.items - returned.hashes,
                {user: known for user, known in pairs.items() if known},
                group.rows - returned.rows,
            )

        return replace(self, groups=tuple(left(group) for group in self.groups))

    def to_document(self) -> list[dict[str, Any]]:
        """For a manifest; the keys are no part of it."""
        return [group.to_document() for group in self.groups]

    @classmethod
    def from_document(
        cls, document: Any, keys: tuple[bytes, ...] = (), model: Path | None = None
    ) -> Erased:
        """Read again; ValueError for anything that ``to_document`` does not write. ``model`` is
        where it was read.
        """
        if not isinstance(document, list):
            raise ValueError("erased: expected a list of groups")
        groups = []
        for entry in document:
            if not isinstance(entry, dict) or entry.keys() - {"rows"} != NAMES:
                raise ValueError("erased: expected groups of key, users, items, pairs and rows")
            if not isinstance(entry["pairs"], dict):
                raise ValueError("erased: expected pairs by the hash of their user")
            pairs = {_hex(user): _hashes(known) for user, known in entry["pairs"].items()}
            groups.append(
                ErasedGroup(
                    _hex(entry["key"]),
                    _hashes(entry["users"]),
                    _hashes(entry["items"]),
                    pairs,
                    _hashes(entry.get("rows", [])),
                )
            )
        used = {group.key for group in groups}
        found = cls(tuple(groups), tuple(key for key in keys if fingerprint(key) in used))
        return found if model is None else replace(found, place=str(key_path(model)))


def admit(record: Erased, data: Interactions, *, readmit: bool) -> Returned:
    """What of ``data`` was erased before, where ``readmit`` allows it.

    Raises NotFound where a key is missing, so that nobody can tell;
    RefusedByPolicy where something was erased and is not to be let in again.
    """
    if record.locked and not readmit:
        raise NotFound(
            "the model has erased users or interactions, and the key by which they are known is "
            f"not there ({record.place}): whether the data hold them again cannot be told. Put "
            f"the key beside the model, or pass {READMIT} to learn whatever the data hold"
        )
    found = record.returned(data)
    if len(found) and not readmit:
        parts = [
            *([f"of {found.users:,} user(s) erased whole"] if found.users else []),
            *([f"of {found.items:,} item(s) erased whole"] if found.items else []),
            *([f"{len(found.pairs):,} erased one by one"] if found.pairs else []),
            *([f"{len(found.rows):,} event(s) erased"] if found.rows else []),
        ]
        first = int(found.places[0])
        user = data.users.ids_of(data.user_rows[[first]])[0].as_py()
        item = data.items.ids_of(data.indices[[first]])[0].as_py()
        raise RefusedByPolicy(
            f"{len(found):,} of the interactions were erased from this model before "
            f"({', '.join(parts)}), the first is user {user!r}, item {item!r}: learning them "
            f"would bring them back. Take them out of the data, or pass {READMIT} where they are "
            "meant to come back",
            interactions=len(found),
            users=found.users,
            items=found.items,
        )
    return found


def refuse(data: Interactions, hit: npt.NDArray[np.bool_]) -> None:
    """RefusedByPolicy where some of ``data``, those for which ``hit`` (|D|,) is true, were
    forgotten in a warm session.
    """
    places = np.flatnonzero(hit)
    if not places.size:
        return
    user = data.users.ids_of(data.user_rows[places[:1]])[0].as_py()
    item = data.items.ids_of(data.indices[places[:1]])[0].as_py()
    raise RefusedByPolicy(
        f"{places.size:,} of the interactions were forgotten in this session, the first is user "
        f"{user!r}, item {item!r}: learning them would bring them back. Take back what a request "
        "did with undo, or pass readmit=True where they are meant to come back",
        interactions=int(places.size),
    )


def erasing(record: Erased, removal: Removal, items: Iterable[Id] = ()) -> Erased:
    """The record after ``removal``: users who are left with nothing whole, of the others the pairs
    that went.

    ``items`` were asked for whole.
    """
    removed, remaining = removal.removed, removal.remaining
    parted = remaining.user_counts[removed.user_rows] > 0
    rows: Iterable[Named] = ()
    if removed.events is not None:  # of a pair that stays, some events went
        stays = remaining.locate(removed.user_rows, removed.indices.astype(np.int64)) >= 0
        if stays.any():  # an event like one that is there cannot be told from it
            here = np.isin(remaining.user_rows, removed.user_rows[stays])
            left = set(named_rows(remaining.keep(here)))
            rows = [row for row in named_rows(removed.keep(stays)) if row not in left]
        parted &= ~stays
    # their pairs need no record
    whole = removed.items.rows_of(list(items)) if items else np.empty(0, np.int64)
    mask = parted & ~np.isin(removed.indices, whole)
    users = removed.users.ids_of(removed.user_rows[mask]).to_pylist()
    named = removed.items.ids_of(removed.indices[mask]).to_pylist()
    gone = removed.users.ids_of(removal.emptied_users).to_pylist()
    return record.erasing(gone, items, zip(users, named, strict=True), rows)


def named_rows(data: Interactions) -> list[Named]:
    """(user, item, group, time) of the events of ``data``, None for what they do not have."""
    rows = Selection.of_events(data)
    assert rows.users is not None
    assert rows.items is not None
    none = [None] * len(rows.users)
    groups = none if rows.groups is None else rows.groups.to_pylist()
    times = none if rows.at is None else rows.at.tolist()
    return list(zip(rows.users.to_pylist(), rows.items.to_pylist(), groups, times, strict=True))


def _pairs_of_events(data: Interactions) -> list[int]:
    assert data.events is not None
    found: list[int] = data.locate(data.events.users, data.events.items.astype(np.int64)).tolist()
    return found


# ---------------------------------------------------------------- the files


def key_path(model: Path) -> Path:
    """``OUT.key`` beside the model at ``OUT``."""
    return model.with_name(f"{model.name}.key")


def record_path(model: Path) -> Path:
    """``OUT.erased.json``: the record of a file that has no manifest of ours."""
    return model.with_name(f"{model.name}.erased.json")


def read_keys(model: Path) -> tuple[bytes, ...]:
    """The keys beside ``model``; none where the file is not there, may not be read, or holds
    something else.
    """
    try:
        lines = key_path(model).read_text(encoding="ascii").split()
        keys = tuple(bytes.fromhex(line) for line in lines)
    except (OSError, ValueError):
        return ()
    return keys if all(len(key) == KEY_BYTES for key in keys) else ()


def check_beside(model: Path) -> None:
    """Refuse an output ``model`` beside which something else has the name of its key or its record;
    OutputExists.

    Keys without their model stay in the file, before which ours come: a model that was moved away
    may need them. A record without its model says nothing about the new one and is replaced.
    """
    key, record = key_path(model), record_path(model)
    if os.path.lexists(key) and not read_keys(model):
        raise OutputExists(
            f"{key} is there and holds no keys of AltEraser. Choose another output.", path=str(key)
        )
    if os.path.lexists(record) and not record.is_file():
        raise OutputExists(
            f"{record} is there and is no file. Choose another output.", path=str(record)
        )


@contextmanager
def written_beside(model: Path, record: Erased, *, as_file: bool = False) -> Iterator[None]:
    """The keys of ``record`` (mode 0600), and with ``as_file`` the record, are on disk before the
    block writes ``model``; where it ends without one, all is as it was.
    """
    check_beside(model)
    key, path = key_path(model), record_path(model)
    lines = dict.fromkeys([*record.keys, *read_keys(model)])
    new = {key: b"".join(each.hex().encode() + b"\n" for each in lines)} if record.keys else {}
    if as_file:
        new[path] = (json.dumps({"erased": record.to_document()}, indent=1) + "\n").encode()
    old = {each: each.read_bytes() if each.exists() else None for each in new}
    try:
        for each, content in new.items():
            replace_file(each, content, private=each == key)
        yield
    except BaseException:
        if not os.path.lexists(model):
            for each, was in old.items():
                if was is None:
                    each.unlink(missing_ok=True)
                else:
                    replace_file(each, was, private=each == key)
        raise


def read_record(model: Path) -> Erased:
    """The record beside another library's ``model``; empty where there is none. IntegrityError for
    a damaged one.
    """
    path = record_path(model)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Erased.from_document(document["erased"], read_keys(model), model)
    except FileNotFoundError:
        return Erased()
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise IntegrityError(
            f"{path} cannot be read as a record of what was erased ({cause}); restore it from a "
            "copy, or remove it if nobody need be kept from coming back",
            path=str(path),
        ) from cause


# ---------------------------------------------------------------- hashes


def fingerprint(key: bytes) -> str:
    """What a key is known by; says nothing about it."""
    return hmac.digest(key, b"alteraser erased key", "sha256")[:HASH_BYTES].hex()


def _hash(key: bytes, tag: bytes, value: Id) -> str:
    return hmac.digest(key, tag + encode(value), "sha256")[:HASH_BYTES].hex()


def row_hash(key: bytes, row: Named) -> str:
    """h(row) of (user, item, group, time), in hexadecimal; None: it has none."""
    content = ROW
    for value in row:
        text = b"" if value is None else encode(value)
        content += len(text).to_bytes(8, "big") + text
    return hmac.digest(key, content, "sha256")[:HASH_BYTES].hex()


def pair_hash(key: bytes, user: bytes, item: bytes) -> str:
    """h(pair) of an encoded user and an encoded item, in hexadecimal."""
    return hmac.digest(key, PAIR + len(user).to_bytes(8, "big") + user + item, "sha256")[
        :HASH_BYTES
    ].hex()


def _hex(text: Any) -> str:
    if (
        not isinstance(text, str)
        or len(text) != 2 * HASH_BYTES
        or bytes.fromhex(text).hex() != text
    ):
        raise ValueError(f"erased: {text!r} is no hash of {HASH_BYTES} bytes in hexadecimal")
    return text


def _hashes(found: Any) -> frozenset[str]:
    if not isinstance(found, list):
        raise ValueError("erased: expected lists of hashes")
    return frozenset(_hex(text) for text in found)
