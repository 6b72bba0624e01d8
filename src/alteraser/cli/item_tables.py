"""What ``forget`` and ``verify`` do with other libraries' tables of items: implicit's neighbors, EASE weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import again, common, foreign, selecting
from alteraser.errors import InvalidInput, NumericFailure

if TYPE_CHECKING:
    from alteraser.adapters.tables import TableAdapter
    from alteraser.data.selection import Age

LEVELS = {
    "A": "the table is what its library makes of these data, to rounding, looked at by other code",
    "D": "the table is not what its library makes of these data: it has not forgotten what is not among them",
}


def recognized(model: Path, format: str | None) -> TableAdapter | None:
    """The adapter of the table at ``model``; None where it is none, or another format is asked for."""
    if format is not None or not model.is_file():
        return None
    from alteraser.adapters.tables import find_table

    return find_table(model)


def forget(
    screen: common.Screen, adapter: TableAdapter, model: Path, forget_set: Path | None, data: Path, out: Path | None,
    given: dict[str, Any], *, method: str, whole_users: bool, whole_items: bool, users: list[str] | None,
    since: str | None, until: str | Age | None, timestamp_column: str | None, strict: bool, remaining: Path | None,
    dry_run: bool, unchecked: bool, readmit: bool, verbose: bool, threads: int,
) -> int:  # fmt: skip
    """``alteraser forget`` for a table of items; outputs were checked before."""
    from alteraser.adapters.data import reading_of
    from alteraser.adapters.tables.forget import forget_table, open_table
    from alteraser.cli.forget import report_dry_run
    from alteraser.data.interactions import accounted
    from alteraser.data.remaining import below_threshold, remaining_rows
    from alteraser.verbs.forget_exactly import check_method

    check_method(adapter.name, method)
    options = foreign.options_from(given)
    timed = selecting.timed(options.reading, timestamp_column, window=since is not None or until is not None)
    options = options.model_copy(update={"reading": timed})
    reading = reading_of(options)
    with screen.phase("read", "reading"):
        selection = selecting.selected(
            forget_set, reading, whole_users=whole_users, whole_items=whole_items, users=users, since=since, until=until
        )
        opened = open_table(adapter, model, data, options)
        ids = opened.data.users, opened.data.items
        selecting.check_ids(forget_set, selection, *ids)
        removal = accounted(
            opened.data.remove(selection), strict=strict, below=below_threshold(data, reading, ids)
        )  # fmt: skip
    if dry_run:
        return report_dry_run(screen, removal, opened.data, None, verbose=verbose)
    assert out is not None
    if remaining is not None:
        with screen.phase("write", "writing"):
            own = again.written(
                again.table(lambda: remaining_rows(data, removal.removed, reading, removal.selection)), remaining
            )
    try:
        with screen.phase("solve", "making the table anew"):
            done = forget_table(opened, removal, out, unchecked=unchecked, readmit=readmit, threads=threads)
    except BaseException:
        if remaining is not None and own:
            remaining.unlink(missing_ok=True)
        raise
    seconds = screen.timing()
    screen.result(
        {
            "model": str(out), "format": adapter.name, "kind": done.rule.name, "method": "exact", "class": "A",
            "interactions_before": len(opened.data), "interactions_forgotten": removal.count,
            **selecting.document(removal), "users_gone": int(removal.emptied_users.size),
            "items_gone": int(removal.emptied_items.size), "item_rows_changed": done.changed,
            "item_rows_of_others_changed": done.of_others, "rule": done.rule.formula,
            "interactions_readmitted": len(done.returned),
            "remaining": None if remaining is None else str(remaining), "seconds": seconds,
        },
        [
            ("model", f"{out} ({adapter.name}: {done.rule.name})"),
            ("made by", done.rule.formula),
            ("forgotten", f"{removal.count:,} interactions; {len(removal.remaining):,} remain"),
            *selecting.rows(removal, remaining, verbose=verbose),
            ("class", "A: what the library makes of the remaining data; verify looks by other code"),
            ("rows changed", f"{done.changed:,} of items, {done.of_others:,} of them of items of which nothing went"),
            ("time", common.seconds_text(seconds)),
        ],
    )  # fmt: skip
    return 0


def verify(
    screen: common.Screen, adapter: TableAdapter, model: Path, data: Path, before: Path | None, given: dict[str, Any],
) -> int:  # fmt: skip
    """``alteraser verify`` for a table of items: made anew from ``data`` by other code."""
    from alteraser.adapters.tables.forget import open_table
    from alteraser.data.files import sha256_file

    if before is not None:
        raise InvalidInput(f"--before means nothing to {model}: the table is made anew from the data alone")
    options = foreign.options_from(given)
    with screen.phase("read", "reading"):
        opened = open_table(adapter, model, data, options)
    with screen.phase("solve", "making the table by other code"):
        rules = adapter.rules(opened.table, options)
        apart = [rule.apart(opened.table.values, opened.data) for rule in rules]
    nearest = min(range(len(rules)), key=lambda place: apart[place] / rules[place].limit)
    rule, value = rules[nearest], apart[nearest]
    level = "A" if value <= rule.limit else "D"
    meaning = f"largest difference from {rule.formula}, over the largest entry"
    screen.result(
        {
            "model": str(model), "format": adapter.name, "kind": rule.name, "digest": sha256_file(model),
            "data_digest": opened.data.digest, "class": level, "sentence": LEVELS[level],
            "checks": [
                {"name": "anew", "value": value, "limit": rule.limit, "passed": level == "A", "meaning": meaning}
            ],
            "seconds": screen.timing(),
        },
        [
            ("model", f"{model} ({adapter.name}: {rule.name})"), ("class", f"{level}: {LEVELS[level]}"),
            ("anew", f"{value:.3g}  ({'ok' if level == 'A' else 'FAILS'}, limit {rule.limit:g}) {meaning}"),
        ],
    )  # fmt: skip
    return 0 if level == "A" else NumericFailure.exit_code
