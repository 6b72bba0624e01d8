"""From FORGET and the options beside it to one ``Selection``; what is said of what it did not
match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import inputs
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    from alteraser.data.deletion import Deletion
    from alteraser.data.ids import IdMap
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.selection import Age, Near, Selection
    from alteraser.verbs.deleting import Matching

LISTED = 1000
"""Unmatched rows listed in the document; all are counted."""

STANDARD_TIME = "timestamp"
"""The column of times where neither the model nor an option says another."""

ForgetArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FORGET]",
        help="Table with user_id and item_id; with one of them alone, whole users or "
        "whole items. Not needed with --since, --until.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Wanted:
    """What of FORGET or of the data is to go, and what is learned along."""

    whole_users: Annotated[
        bool, typer.Option("--whole-users", help="Forget everything of the users in FORGET.")
    ] = False
    whole_items: Annotated[
        bool, typer.Option("--whole-items", help="Forget everything of the items in FORGET.")
    ] = False
    user: Annotated[
        list[str] | None,
        typer.Option(
            "--user",
            help="Only of this user: with items alone in FORGET, or with --since, --until. May be "
            "repeated.",
            show_default=False,
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="T",
            help="Only what happened at T or later: ISO 8601 (UTC without an offset), "
            "or a number in the unit of the column.",
            show_default=False,
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="T", help="Only what happened before T.", show_default=False
        ),
    ] = None
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="SPAN",
            help="Only what happened longer ago than this: 365d, 12w, 36h, or "
            "a number of days, back from the newest time of DATA.",
            show_default=False,
        ),
    ] = None
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="T",
            help="With --older-than: counted back from T, as in --since, or from now.",
            show_default="the newest time",
        ),
    ] = None
    timestamp_column: Annotated[
        str | None,
        typer.Option(
            "--timestamp-column",
            help="Column with the times, for --since, --until, --older-than.",
            show_default="the model's, or timestamp",
        ),
    ] = None
    session: Annotated[
        list[str] | None,
        typer.Option(
            "--session",
            metavar="ID",
            help="A session, of a model of sessions; with --user of this user "
            "alone. May be repeated.",
            show_default=False,
        ),
    ] = None
    basket: Annotated[
        list[str] | None,
        typer.Option(
            "--basket",
            metavar="ID",
            help="A basket, of a model of baskets; likewise.",
            show_default=False,
        ),
    ] = None
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="FORGET is rows of this relation (--relation NAME=FILE), of a linear model.",
            show_default=False,
        ),
    ] = None
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity",
            metavar="TABLE=ID",
            help="Everything of this user, item, tag or node, of every relation, of a linear "
            "model; of a feature or a context: a word of it. May be repeated.",
            show_default=False,
        ),
    ] = None
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attributes",
            metavar="TABLE:FEATURE",
            help="A feature, such as user:age, of the users in FORGET or --user, else of all; "
            "of a linear model. May be repeated.",
            show_default=False,
        ),
    ] = None
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Forget nothing (exit code 3) where a row of FORGET matches nothing."
        ),
    ] = False
    grown: Annotated[
        bool,
        typer.Option("--grown", help="DATA also has interactions added since; learn them along."),
    ] = False
    readmit: Annotated[
        bool,
        typer.Option(
            "--readmit", help="With --grown: also learn what was erased from MODEL before."
        ),
    ] = False

    @property
    def end(self) -> str | Age | None:
        """Where the window ends; InvalidInput for two ends, and for what is not an age."""
        from alteraser.data.selection import Age

        if self.older_than is None:
            if self.as_of is not None:
                raise InvalidInput("--as-of says what --older-than is counted back from: give both")
            return self.until
        if self.until is not None:
            raise InvalidInput("--older-than says where the window ends: leave --until out")
        return Age(self.older_than, self.as_of)

    @property
    def of_other(self) -> bool:
        """Whether more is meant than rows of DATA, as only linear models know it."""
        return bool(self.from_ or self.entity or self.attributes)

    @property
    def window(self) -> bool:
        """Whether only some time is meant."""
        return self.since is not None or self.end is not None

    @property
    def groups(self) -> tuple[str, list[str]] | None:
        """What ``--session`` or ``--basket`` name, and which of them; InvalidInput for both."""
        if self.session and self.basket:
            raise InvalidInput("--session contradicts --basket: a model is of one of them")
        return (
            ("session", self.session)
            if self.session
            else ("basket", self.basket)
            if self.basket
            else None
        )

    def timed(self, reading: ReadingOptions) -> ReadingOptions:
        """``reading`` with the times of the data, where a window needs them.

        Raises InvalidInput for a column that nothing looks at.
        """
        column, own = self.timestamp_column, reading.timestamp_column
        if not self.window:
            if column is not None:
                raise InvalidInput(
                    "--timestamp-column is for --since and --until, or --older-than: give one of "
                    "them"
                )
            return reading
        if self.from_ not in (None, "data"):  # the times of that relation
            return reading
        if reading.grouping is not None and own is not None and column not in (None, own):
            raise InvalidInput(
                f"--timestamp-column {column}: the times of a model of events are those of {own}"
            )
        known = reading.ordered_by_time and (own is not None or reading.grouping is None)
        return reading.model_copy(
            update={"timestamp_column": column or own or STANDARD_TIME, "ordered_by_time": known}
        )

    def matching(self, below: Callable[[Selection], Any] | None = None) -> Matching:
        """How the request is held against DATA; ``below`` knows rows below the threshold."""
        from alteraser.verbs.deleting import Matching

        return Matching(self.grown, self.readmit, self.strict, below)

    def selection(
        self,
        forget_set: Path | None,
        reading: ReadingOptions,
        names: Mapping[str, str | None] | None = None,
    ) -> Selection:
        """What is to be forgotten: the table at ``forget_set``, or groups, of ``user``, between
        ``since`` and the end.

        Raises InvalidInput for parts that contradict each other, and what reading raises.
        """
        from alteraser.data.ids import named_ids
        from alteraser.data.selection import Selection, Window

        groups, kind = self.groups, "session" if reading.grouping is None else reading.grouping.name
        if groups is not None and (reading.group_column is None or groups[0] != kind):
            raise InvalidInput(
                f"--{groups[0]}: the data that this model was trained on have no column of "
                f"{groups[0]}s"
                + (f"; it is a model of {kind}s" if reading.grouping is not None else "")
                + (
                    " that a gap cuts: name users, items or a window of time"
                    if reading.session_gap is not None
                    else ""
                )
            )
        window = Window(self.since, self.end) if self.window else None
        if forget_set is None:
            if self.whole_users or self.whole_items:
                raise InvalidInput(
                    "--whole-users and --whole-items are about FORGET: name that table"
                )
            named = (
                None
                if groups is None
                else named_ids(list(dict.fromkeys(groups[1])), f"--{groups[0]}")
            )
            found = Selection(window=window, groups=named, group_name=kind)
        else:
            table = inputs.read_forget(
                forget_set,
                reading,
                whole_users=self.whole_users,
                whole_items=self.whole_items,
                names=names,
            )
            found = Selection(table.users, table.items, window, table.groups, kind)
        return found.of_users(self.user) if self.user else found


def check(forget_set: Path | None, wanted: Wanted) -> None:
    """InvalidInput for a request that says nothing or contradicts itself, or times that are none;
    reads nothing.
    """
    from alteraser.data.selection import moment

    moment(wanted.since, "--since")
    moment(wanted.until, "--until")
    window, groups = wanted.window, wanted.groups
    if groups is not None and forget_set is not None:
        raise InvalidInput(f"--{groups[0]} names what FORGET would name: give one of them")
    if wanted.from_ is not None and forget_set is None and not window:
        raise InvalidInput(
            f"--from {wanted.from_}: give FORGET, a table of rows of that relation, or a window of "
            "its times (--since, --until, --older-than)"
        )
    if forget_set is None and not window and groups is None and not wanted.of_other:
        raise InvalidInput(
            "--user says whose, not what: give FORGET with the items, or a window (--since, "
            "--until); to forget all of a user, give FORGET with the column user_id alone"
            if wanted.user
            else "nothing to forget is named: give FORGET, a table with user_id and item_id, or a "
            "window of time (--since, --until, --older-than)"
        )
    if wanted.whole_users and wanted.whole_items:
        raise InvalidInput("--whole-users contradicts --whole-items: forget one after the other")


def check_ids(source: Path | None, selection: Selection, users: IdMap, items: IdMap) -> None:
    """InvalidInput, naming FORGET, for an id that does not convert to the type of the model's ids.

    Where the model has the id in another form, that is shown.
    """
    from alteraser.data.selection import near_rows

    for name, ids, asked in (
        ("user_id", users, selection.users),
        ("item_id", items, selection.items),
    ):
        if asked is None:
            continue
        try:
            ids.rows_of(asked, f"{source or 'FORGET'}: {name}")
        except InvalidInput as cause:
            near = near_rows(selection.table.select([name]), users, items)[:3]
            words = "".join(f"; {each.words}, which is not taken for it" for each in near)
            raise InvalidInput(cause.message + words, **cause.details) from cause


def document(found: Deletion) -> dict[str, Any]:
    """What a document says of what was not matched, and of what DATA did not have any more."""
    below, gone = 0 if found.below is None else found.below.num_rows, found.missing
    unknown = gone is None and found.removal.absent is not None
    return {
        "interactions_unmatched": found.unmatched.num_rows,
        "unmatched": found.unmatched.slice(0, LISTED).to_pylist()
        if found.unmatched.num_rows
        else [],
        "near_matches": [vars(each) for each in found.near],
        "below_threshold": below,
        "interactions_missing": None
        if unknown
        else found.put_back
        if gone is None
        else gone.interactions,
        "interactions_unchecked": 0 if gone is None else gone.unchecked,
    }


def rows(
    removal: Deletion, remaining: Path | None, *, verbose: bool = False
) -> list[tuple[str, str]]:
    """For people: what was not matched."""
    found = [
        *unmatched_rows(removal.unmatched, verbose=verbose),
        *near_rows_words(removal.near, verbose=verbose),
    ]
    if removal.below is not None and removal.below.num_rows:
        gone = (
            f"they are left out of {remaining} too"
            if remaining is not None
            else "--remaining leaves them out too"
        )
        found.append(
            (
                "no model saw",
                f"{removal.below.num_rows:,} row(s) of FORGET: in the data below the threshold; "
                f"{gone}",
            )
        )
    return found


def unmatched_rows(table: pa.Table, *, verbose: bool = False) -> list[tuple[str, str]]:
    """For people: the rows of FORGET that match nothing, the first few of them, or with ``verbose``
    LISTED.
    """
    if table.num_rows == 0:
        return []
    most = LISTED if verbose else 5
    first = ", ".join(
        "/".join(str(v) for v in row.values()) for row in table.slice(0, most).to_pylist()
    )
    more = " …" if table.num_rows > most else ""
    return [("matched nothing", f"{table.num_rows:,} row(s) of FORGET: {first}{more}")]


def near_rows_words(near: tuple[Near, ...], *, verbose: bool = False) -> list[tuple[str, str]]:
    """For people: ids that are nearly those of the data."""
    shown = near if verbose else near[:3]
    found = [("not taken", each.words) for each in shown]
    return found + (
        [("", f"… and {len(near) - len(shown):,} more")] if len(near) > len(shown) else []
    )


def gone_rows(found: Deletion) -> list[tuple[str, str]]:
    """For people: what DATA did not have any more."""
    missing, absent = found.missing, found.removal.absent
    if missing is not None:
        rows = [("gone before", f"{missing.interactions:,} of them were not in DATA any more")]
        if missing.unchecked:
            rows.append(
                (
                    "not checked",
                    f"confidences and targets of {missing.unchecked:,} interactions that remain: "
                    "what is gone of their user and item is needed for it. That they are there "
                    "was checked",
                )
            )
        return rows
    if absent is not None:
        users, items = (len(rows) for rows in absent)
        return [
            (
                "gone before",
                f"{users:,} users and {items:,} items were not in DATA any more; what they had is "
                "not known, and whether more is missing cannot be checked",
            )
        ]
    if found.put_back:
        return [
            (
                "gone before",
                f"{found.put_back:,} interactions of FORGET were not in DATA any more and were put "
                "back for the check; whether more is missing cannot be checked",
            )
        ]
    return []


def added_rows(found: Deletion) -> list[tuple[str, str]]:
    """For people: what was learned along."""
    (users, items), rows = found.joined, []
    if found.added:
        words = (
            f"{found.added:,} interactions since, of {users:,} new users and {items:,} new "
            "items, learned"
        )
        rows.append(("added", words))
    if found.returned is not None and len(found.returned):
        rows.append(
            (
                "readmitted",
                f"{len(found.returned):,} interactions that were erased from this model before",
            )
        )
    return rows


def beside_rows(found: Deletion) -> list[tuple[str, str]]:
    """What goes of the sources beside DATA, and what of the request is in none of them."""
    said = found.said
    return [
        *(
            (f"of {name}", f"{count:,} row(s)")
            for name, count in said.get("rows_forgotten", {}).items()
            if name != "data"
        ),
        *(
            (f"of {name}", f"{count:,} value(s)")
            for name, count in said.get("values_forgotten", {}).items()
        ),
        *(("matched nothing", name) for name in said.get("not_found", ())),
    ]
