"""What ``forget`` and ``verify`` do with other libraries' tables of items: implicit's neighbors,
EASE weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli.foreign import not_ours, sibling_document, sibling_rows
from alteraser.cli.foreign_options import options_from, refuse
from alteraser.cli.screen import Screen
from alteraser.cli.subject import Rows, Subject
from alteraser.errors import InvalidInput, NumericFailure

if TYPE_CHECKING:
    from alteraser.adapters.contract import Sibling
    from alteraser.adapters.tables import TableAdapter
    from alteraser.cli.examining import InspectRequest, VerifyRequest
    from alteraser.cli.forget_options import ForgetRequest
    from alteraser.data.deletion import Deletion
    from alteraser.data.selection import Selection
    from alteraser.data.sheet import Sheet
    from alteraser.verbs.erasure import Erasure

LEVELS = {
    "A": "the table is what its library makes of these data, to rounding, looked at by other code",
    "D": "the table is not what its library makes of these data: it has not forgotten what is not "
    "among them",
}


def recognized(model: Path, format: str | None) -> TableAdapter | None:
    """The adapter of the table at ``model``; None where it is none, or another format is asked
    for.
    """
    if format is not None or not model.is_file():
        return None
    from alteraser.adapters.tables import find_table

    return find_table(model)


def _adapter(model: Path) -> TableAdapter:
    found = recognized(model, None)
    assert found is not None, "told to be a table"
    return found


class ItemTableSubject(Subject):
    """A table of items in a file of another library."""

    ours = False
    names = None

    def __init__(self, asked: ForgetRequest, screen: Screen) -> None:
        super().__init__(asked, screen)
        self.adapter = _adapter(asked.model)

    def check(self) -> None:
        """The one way, and nothing that is for models with factors."""
        from alteraser.adapters.data import reading_of
        from alteraser.verbs.forget_exactly import check_method

        asked, how, wanted, care = self.asked, self.asked.how, self.asked.wanted, self.asked.care
        refuse(
            {
                "solver": how.solver,
                "memory": how.memory,
                "confirm": how.confirm,
                "stop_at_tolerance": how.stop_at_tolerance,
                "tolerance": how.tolerance,
                "max_passes": how.max_passes,
                "seed": how.seed,
                "grown": wanted.grown,
                "session": wanted.session,
                "basket": wanted.basket,
                "purged": care.purged,
                "scrub": care.scrub,
            },
            f"means nothing to {asked.model}, a table of items",
        )
        check_method(self.adapter.name, how.method)
        options = options_from(asked.theirs)
        self.options = options.model_copy(update={"reading": wanted.timed(options.reading)})
        self.reading = reading_of(self.options)

    def open(self) -> None:
        """With the data, which say who the people are."""

    def check_ids(self, selection: Selection) -> None:
        """Once the data are there."""

    def sheet(self, *, every_column: bool) -> Sheet:
        """DATA, as the options say."""
        from alteraser.adapters.data import sheet_of

        return sheet_of(self.asked.data, self.options, every_column=every_column)

    def match(self, selection: Selection, sheet: Sheet) -> Deletion:
        """On the data that the table was made of."""
        from alteraser.adapters.tables.forget import match_table, open_table

        self.source = sheet.path
        self.opened = open_table(self.adapter, self.asked.model, sheet, self.options)
        self.ids = self.opened.data.users, self.opened.data.items
        super().check_ids(selection)
        return match_table(
            self.opened,
            selection,
            how=self.asked.wanted.matching(sheet.below_threshold(self.ids)),
        )

    def plan(self, found: Deletion) -> Any:
        """None: there is one way."""
        return None

    def forget(self, found: Deletion) -> Erasure[Any]:
        """Make it anew."""
        from alteraser.adapters.tables.forget import unlearn_table

        with self.screen.phase("solve", "making the table anew"):
            return unlearn_table(
                self.opened,
                found,
                method=self.asked.how.method,
                threads=self.asked.talk.threads,
                unchecked=self.asked.care.unchecked,
            )

    def identity(self, saved: Path) -> dict[str, Any]:
        """Digests of the files, and those that may still hold what was erased."""
        from alteraser.data.files import sha256_file

        return {
            "digest": sha256_file(saved),
            "parent": sha256_file(self.asked.model),
            "siblings": [sibling_document(sibling) for sibling in self._siblings(saved)],
        }

    def _siblings(self, saved: Path) -> tuple[Sibling, ...]:
        from alteraser.adapters.tables.forget import table_siblings

        asked = self.asked
        found = table_siblings(asked.model, self.options, self.source, saved)
        return not_ours(found, asked.outputs.remaining, asked.forget_set)

    def beside(self, saved: Path) -> Rows:
        """Other files."""
        return sibling_rows(self._siblings(saved), verbose=self.asked.talk.verbose)

    def title(self, erasure: Erasure[Any]) -> str:
        """Whose table it is."""
        return f" ({erasure.details['format']}: {erasure.details['kind']})"

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """How it is made, class A, and what that changed."""
        changed, others = (
            erasure.details["item_rows_changed"],
            erasure.details["item_rows_of_others_changed"],
        )
        return [
            ("made by", erasure.details["rule"]),
            (
                "class",
                "A: what the library makes of the remaining data; verify looks by other code",
            ),
            (
                "rows changed",
                f"{changed:,} of items, {others:,} of them of items of which nothing went",
            ),
        ]

    def shortfall(self, erasure: Erasure[Any]) -> str:
        """There is no level beyond."""
        raise AssertionError(erasure.kind)


def verify(asked: VerifyRequest) -> int:
    """``alteraser verify`` for a table of items: made anew from the data by other code."""
    from alteraser.adapters.data import sheet_of
    from alteraser.adapters.tables.forget import open_table
    from alteraser.data.files import sha256_file

    asked.check_pair()
    screen, model = asked.screen, asked.model
    refuse(
        {"unrelated": asked.unrelated, "replay": asked.replay, "tolerance": asked.tolerance},
        f"means nothing to {model}, a table",
    )
    if asked.before is not None:
        raise InvalidInput(
            f"--before means nothing to {model}: the table is made anew from the data alone"
        )
    adapter, options = _adapter(model), options_from(asked.theirs)
    with screen.phase("read", "reading"):
        opened = open_table(adapter, model, sheet_of(asked.data, options), options)
    with screen.phase("solve", "making the table by other code"):
        rules = adapter.rules(opened.table, options)
        seen = opened.seen(opened.data)
        apart = [rule.apart(opened.table.values, seen) for rule in rules]
    nearest = min(range(len(rules)), key=lambda place: apart[place] / rules[place].limit)
    rule, value = rules[nearest], apart[nearest]
    level = "A" if value <= rule.limit and not opened.beyond else "D"
    meaning = f"largest difference from {rule.formula}, over the largest entry"
    screen.result(
        {
            "model": str(model),
            "format": adapter.name,
            "kind": rule.name,
            "digest": sha256_file(model),
            "data_digest": opened.data.digest,
            "class": level,
            "sentence": LEVELS[level],
            "checks": [
                {
                    "name": "anew",
                    "value": value,
                    "limit": rule.limit,
                    "passed": value <= rule.limit,
                    "meaning": meaning,
                },
                {
                    "name": "held",
                    "value": opened.beyond,
                    "limit": 0,
                    "passed": not opened.beyond,
                    "meaning": "interactions that the file holds and the data lack",
                },
            ],
            "seconds": screen.timing(),
        },
        [
            ("model", f"{model} ({adapter.name}: {rule.name})"),
            ("class", f"{level}: {LEVELS[level]}"),
            (
                "anew",
                f"{value:.3g}  ({'ok' if value <= rule.limit else 'FAILS'}, limit {rule.limit:g}) "
                f"{meaning}",
            ),
            *(
                [("held", f"{opened.beyond:,} interactions that the data lack  (FAILS)")]
                if opened.beyond
                else []
            ),
        ],
    )
    return 0 if level == "A" else NumericFailure.exit_code


def inspect(asked: InspectRequest) -> int:
    """``alteraser inspect`` for a table of items; with data, whether its library makes it of
    them.
    """
    from alteraser.adapters.data import sheet_of
    from alteraser.adapters.tables import fitting
    from alteraser.adapters.tables.forget import open_table, table_siblings

    screen, model, data = asked.screen, asked.model, asked.data
    adapter, options = _adapter(model), options_from(asked.theirs)
    rule, source = None, None
    with screen.phase("read", "reading"):
        if data is None:
            table = adapter.read(model, options)
        else:
            sheet = sheet_of(data, options)
            opened, source = open_table(adapter, model, sheet, options), sheet.path
            table = opened.table
    if data is not None:
        # the check that forget makes, which says how far off a table is
        with screen.phase("check", "checking"):
            rule = fitting(table, adapter.rules(table, options), opened.seen(opened.data))
    values, m = table.values, None if table.user_ids is None else table.user_ids.size
    entries, ids = (
        int(getattr(values, "nnz", values.size)),
        "none" if table.item_ids is None else "in the file",
    )
    siblings = table_siblings(model, options, source)
    document = {
        "model": str(model),
        "format": adapter.name,
        "kind": "table of items",
        "users": m,
        "items": table.items,
        "entries": entries,
        "dtype": str(values.dtype),
        "id_maps": ids,
        "interactions_held": None if table.pairs is None else int(table.pairs.nnz),
        "rule": None if rule is None else {"name": rule.name, "formula": rule.formula},
        "siblings": [sibling_document(sibling) for sibling in siblings],
        "seconds": screen.timing(),
    }
    held = (
        []
        if table.pairs is None
        else [("also holds", f"{table.pairs.nnz:,} interactions; made anew")]
    )
    rows = [
        ("model", f"{model}: {adapter.name}, a table of items"),
        ("shape", f"{table.items:,} items, {entries:,} entries, {values.dtype}"),
        (
            "item ids",
            ids
            if table.item_ids is not None
            else "not in the file: --items-map, or --rows-are-ids",
        ),
        *held,
        (
            "self-check",
            "give --data to make it" if rule is None else f"passed: {rule.name}, {rule.formula}",
        ),
        *sibling_rows(siblings, verbose=asked.talk.verbose),
    ]
    screen.result(document, rows)
    return 0
