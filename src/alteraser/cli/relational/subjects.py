"""Linear kinds that forget from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import foreign_options, inputs, selecting
from alteraser.cli.ours import Ours
from alteraser.cli.relational.sources import load
from alteraser.cli.subject import Rows
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.deletion import Deletion
    from alteraser.data.selection import Selection
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.given import Given
    from alteraser.data.side.links import Links
    from alteraser.data.side.named import Named
    from alteraser.data.side.sources import Sources
    from alteraser.models.relational.composite import CompositeModel
    from alteraser.verbs.erasure import Erasure


class Linear(Ours):
    """A linear kind, which goes to the optimum for what remains."""

    def check_method(self, settings: dict[str, Any]) -> None:
        """The ways there are, and the settings that they have."""
        from alteraser.models.folder import kind_at
        from alteraser.verbs.relational.forget import ToOptimum

        kind, how = kind_at(self.asked.model), self.asked.how
        self.method = ToOptimum.of(kind, ToOptimum(how.method, how.seed, how.max_passes))
        unused = {name: x for name, x in settings.items() if name not in ("seed", "max_passes")}
        foreign_options.refuse(
            unused | {"stop_at_tolerance": how.stop_at_tolerance or None},
            f"means nothing to a model of kind {kind}, which goes to its optimum",
        )

    def forget(self, found: Deletion) -> Erasure[Any]:
        """Passes under a bar."""
        from alteraser.solvers.limits import DEFAULT
        from alteraser.verbs.forget import unlearn

        with self.screen.passes("solve", "forgetting", DEFAULT.residual, beyond=True):
            return unlearn(self.model, found, method=self.method, threads=self.asked.talk.threads)

    def title(self, erasure: Erasure[Any]) -> str:
        """The kind."""
        return f": {erasure.model.kind}"

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """Which way, how far it got, and which class that is."""
        work, measured, why = erasure.work, erasure.details["measured"], erasure.way.why
        return [
            ("method", erasure.method + (f": {why}" if why is not None else "")),
            ("passes", f"{work.passes:,}, and {work.products:,} products to measure"),
            ("residual", f"{work.residual:.1e} of the deletion's push"),
            (
                "distance",
                f"about {measured['distance']:.1e} of the model's size to an optimum for the "
                "remaining data",
            ),
            ("class", f"{erasure.kind}: {erasure.class_name}"),
            ("", erasure.sentence),
        ]

    def shortfall(self, erasure: Erasure[Any]) -> str:
        """What was not reached, and the remedy."""
        return (
            f"not reached: {erasure.evidence.lacks or 'the optimum'}; the model was written and is "
            f"class {erasure.kind} ({erasure.class_name}). Raise --max-passes, try --method "
            "retrain, or train with more --regularization"
        )


class Composite(Linear):
    """A model of kind ``linear`` that forgets."""

    model: CompositeModel
    sources: Sources
    opened: Sheet

    def load(self) -> CompositeModel:
        """The model as it lies there."""
        return load(self.asked.model)

    def open(self) -> None:
        """The model, and which files it needs."""
        super().open()
        self.sources = self.asked.beside.of(self.model)

    def selection(self) -> Selection:
        """Of DATA, or of the relation that ``--from`` names."""
        from alteraser.data.selection import Selection, Window

        wanted, forget_set = self.asked.wanted, self.asked.forget_set
        _check_parts(wanted)
        if wanted.from_ is not None and forget_set is None:
            found = Selection(window=Window(wanted.since, wanted.end))
            return found.of_users(wanted.user) if wanted.user else found
        elsewhere = wanted.from_ not in (None, "data") or wanted.attributes
        if elsewhere or (forget_set is None and not wanted.window):
            return Selection(items=self.model.items.ids.slice(0, 0))
        return super().selection()

    def check_ids(self, selection: Selection) -> None:
        """Ids of DATA alone."""
        if self.asked.wanted.from_ is None:
            super().check_ids(selection)

    def sheet(self, *, every_column: bool) -> Sheet:
        """DATA, with the columns that contexts are."""
        self.opened = super().sheet(every_column=every_column or bool(self.sources.contexts))
        return self.opened

    def match(self, selection: Selection, sheet: Sheet) -> Deletion:
        """What goes, of everything that was given."""
        from alteraser.data.side.sources import main_links, read_given
        from alteraser.verbs.relational.deleting import match

        kinds = self.model.id_kinds
        request, lying = self._request(selection), main_links(sheet, self.sources.contexts)
        lying = lying.of_kinds(kinds)
        whole = self._whole(lying, request.selection)
        given = read_given(sheet, self.sources, whole, kinds).of_names(self.model.settings.missing)
        if self.asked.forget_set is not None and self.asked.wanted.from_ not in (None, "data"):
            request = replace(request, rows=self._rows(self.asked.forget_set, given))
        return match(self.model, request, given, self.asked.wanted.matching(), lying=lying)

    def _whole(self, main: Links, selection: Selection | None) -> Links:
        """DATA, with what of FORGET they do not have any more."""
        from alteraser.data.sheet import Sheet
        from alteraser.data.side.contexts import columns_of
        from alteraser.data.side.given import MAIN
        from alteraser.data.side.sources import main_links
        from alteraser.verbs.relational.deleting import completed

        path = self.asked.forget_set
        if self.asked.wanted.of_other or main.digest == self.model.sources[MAIN]:
            return main
        rows, names = None, self.sources.contexts
        if path is not None and selection is not None and selection.kind == "pairs" and names:
            read = Sheet.read(path, self.reading, every_column=True, names=inputs.NOT_ASKED)
            if len(columns_of(names, read.raw, self.reading.timestamp_column)) == len(names):
                rows = main_links(read, names)
        return completed(self.model, main, selection, rows)

    def _request(self, selection: Selection) -> Any:
        from alteraser.data.side.deletion import Request

        wanted = self.asked.wanted
        attributes = tuple(_pair(text, ":", "--attributes") for text in wanted.attributes or ())
        entities = tuple(self._entity(text) for text in wanted.entity or ())
        if attributes:
            return Request(entities=entities, attributes=attributes, of=self._whose(attributes))
        named = selection.table.num_rows > 0 or selection.window is not None
        return Request(selection if named else None, wanted.from_ or "data", entities)

    def _entity(self, text: str) -> tuple[str, str]:
        """``TABLE=ID`` or ``COLUMN=WORD``; a column of the model may have = in its name."""
        columns = [f"{t}:{x.column}" for t, xs in self.model.settings.features.items() for x in xs]
        names = [*columns, *(name.partition(":")[2] for name in columns)]
        known = [x for x in (*names, *self.model.context_names) if text.startswith(f"{x}=")]
        name = max(known, key=len, default="")
        rest = text[len(name) + 1 :]
        return (name, rest) if name and rest else _pair(text, "=", "--entity")

    def _rows(self, path: Path, given: Given) -> tuple[Named, ...]:
        """The rows of another relation that FORGET names."""
        from alteraser.data.selection import Window
        from alteraser.data.side.named import asked_of, within

        wanted = self.asked.wanted
        window = Window(wanted.since, wanted.end) if wanted.window else None
        columns = {"user": self.reading.user_column, "item": self.reading.item_column}
        found = asked_of(wanted.from_ or "", given, self.sources, columns).read(
            path, heads=not wanted.whole_items, tails=not wanted.whole_users
        )
        return tuple(within(one, window, wanted.user) for one in found)

    def _whose(self, attributes: tuple[tuple[str, str], ...]) -> tuple[Any, ...] | None:
        """Whose attributes are meant: those in FORGET, or of ``--user``; None: everybody's."""
        from alteraser.data.readers import identifiers, plain
        from alteraser.data.side.attributes import read_with_ids

        wanted, path, tables = self.asked.wanted, self.asked.forget_set, dict(attributes)
        if path is None and not wanted.user:
            return None
        table = next(iter(tables))
        if len(tables) > 1:
            raise InvalidInput(
                f"--attributes of {' and '.join(tables)} with {'--user' if path is None else path}:"
                " these are ids of one of them; ask for one after the other"
            )
        if path is None:
            if table != "user":
                raise InvalidInput(
                    f"--user says whose, and --attributes {table}:{tables[table]} is of a {table}: "
                    f"give FORGET, a table with {table}_id, or leave --user out for all of them"
                )
            return tuple(wanted.user or ())
        own = {"user": self.reading.user_column, "item": self.reading.item_column}
        raw, column = read_with_ids(path, (own.get(table, f"{table}_id"), f"{table}_id", table), "")
        return tuple(plain(identifiers(raw.table[column], column, raw.where)).to_pylist())

    def check_asked(self) -> None:
        """It knows them all."""

    def write_remaining(self, sheet: Sheet, found: Deletion, remaining: Path) -> bool:
        """DATA alone; where more than its rows may go, a folder with all that is left."""
        from alteraser.cli import again
        from alteraser.data.side.deletion import GivenDeletion
        from alteraser.data.side.writing import kept_rows, write_all

        assert isinstance(found, GivenDeletion)
        wanted, given, left = self.asked.wanted, found.given, found.rest.given
        rows = kept_rows(self.opened, given, left, found.removed, self._of_pairs(found))
        if not wanted.of_other:
            return again.written(again.table(lambda: rows), remaining)
        write_all(rows, self.opened, given, left, self.sources, remaining)
        return True

    def _of_pairs(self, found: Deletion) -> Selection | None:
        """The selection, where it is one of DATA."""
        of_other = self.asked.wanted.of_other
        return None if of_other else found.selection

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """Also what went of each source."""
        rows = selecting.beside_rows(erasure.deletion)
        return [*rows, *super().standing(erasure), *self._still_there(erasure)]

    def _still_there(self, erasure: Erasure[Any]) -> Rows:
        """Of users who are gone from DATA and occur elsewhere."""
        emptied = erasure.deletion.removal.emptied_users
        ids = erasure.deletion.data.users.ids_of(emptied)
        there = erasure.model.users.rows_of(ids) >= 0
        if not there.any():
            return []
        return [
            (
                "note",
                f"{int(there.sum()):,} user(s) are gone from DATA and occur in other relations: "
                "--entity user=ID forgets somebody everywhere",
            )
        ]


def _check_parts(wanted: Any) -> None:
    """InvalidInput for parts of a request of which one would not count for another, as it reads."""
    if wanted.entity:
        _check_entity(wanted)
    if not wanted.attributes:
        return
    what = f"--attributes {wanted.attributes[0]}"
    if wanted.from_ is not None:
        raise InvalidInput(
            f"{what} with --from {wanted.from_}: what is known of somebody is no row of a "
            "relation; ask for one after the other"
        )
    if wanted.window:
        raise InvalidInput(
            f"{what} with a window of time (--since, --until, --older-than): what is known of "
            "somebody has no times; ask for one after the other"
        )


def _check_entity(wanted: Any) -> None:
    what = f"--entity {wanted.entity[0]}"
    if wanted.window:
        raise InvalidInput(
            f"{what} with a window of time (--since, --until, --older-than): an entity goes "
            "everywhere, at all times, and a window takes what is in it of everybody; ask for one "
            "after the other"
        )
    if wanted.user and not wanted.attributes:
        raise InvalidInput(
            f"{what} with --user {wanted.user[0]}: an entity goes everywhere, of everybody; of "
            "somebody alone FORGET names rows, and --attributes what is known of them"
        )


def _pair(text: str, between: str, option: str) -> tuple[str, str]:
    first, found, second = text.partition(between)
    if not (first and found and second):
        raise InvalidInput(
            f"{option} {text}: expected "
            + ("TABLE:FEATURE, such as user:age" if between == ":" else "TABLE=ID, such as user=42")
        )
    return first, second
