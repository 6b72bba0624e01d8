"""A window of time over relations that count it in different units: it is the same moments in all
of them, or is refused before it is taken in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alteraser.cli.main import main
from alteraser.data.side.given import MAIN
from alteraser.data.side.parts import told
from alteraser.errors import InvalidInput
from alteraser.ledger.asked import asked

from . import several
from .conftest import Service, copied
from .several import START, person

FINER = {MAIN: 1, "views": 1000}
MIDDLE = START + 3_600 * 50
DATE = datetime.fromtimestamp(MIDDLE, UTC).isoformat()
FILES = several.options(tuple(x for x in several.WHOLE if x != "contexts"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DATA in seconds, views in milliseconds; nothing of the graph has times."""
    root = tmp_path_factory.mktemp("units")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        several.make(finer=FINER["views"])
    return root


@pytest.fixture
def service(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with copied(world, tmp_path, monkeypatch) as opened:
        yield opened


def rows(service: Service) -> set[tuple[str, Any, float | None]]:
    """(relation, head, seconds) of every row."""
    held: Any = service.state.load_serving().held
    return {
        (name[1], name[2:4], None if name[-1] is None else name[-1] / FINER.get(name[1], 1))
        for _, _, name, _ in told(held.given)
        if name[0] == "row"
    }


@pytest.mark.parametrize("source", [None, *FINER])
def test_a_date_is_the_same_moment_in_all(source: str | None, service: Service) -> None:
    before = rows(service)
    service.send({"user": person(2), "since": DATE} | ({"from": source} if source else {}))
    service.work()
    wanted = {
        row
        for row in before
        if row[1][0] == person(2) and row[2] >= MIDDLE and source in (None, row[0])
    }
    assert len({name for name, _, _ in wanted}) == (1 if source else 2)
    assert before - rows(service) == wanted


@pytest.mark.parametrize("source", list(FINER))
def test_a_number_is_in_the_unit_of_the_relation_asked_for(source: str, service: Service) -> None:
    before = rows(service)
    name = service.send({"user": person(2), "since": MIDDLE * FINER[source], "from": source})
    service.work()
    assert service.shown(name)["status"] == "completed"
    gone = before - rows(service)
    assert gone
    assert all(row[0] == source and row[2] >= MIDDLE for row in gone)


ENDS = (5_000, MIDDLE, str(MIDDLE * 1000), DATE, None)
BODIES = [
    {name: at for name, at in (("since", since), ("until", until)) if at is not None}
    for since, until in itertools.product(ENDS, ENDS)
    if (since, until) != (None, None)
]


@pytest.mark.parametrize("source", [None, MAIN, "views", "kg", "kg/by"])
def test_what_is_taken_in_can_be_done(source: str | None, service: Service) -> None:
    """A window ends as what it names, or is refused with what to write instead: the worker never
    has to say that it is no window."""
    taken, refused = 0, []
    for number, ends in enumerate(BODIES):
        body = {"user": person(number % 10), **ends} | ({"from": source} if source else {})
        try:
            asked(body, service.state.declared)
        except InvalidInput as error:
            refused.append((ends, error))
            continue
        service.send(body)
        taken += 1
    service.work()
    assert len(set(all_of(service))) == taken == len(BODIES) - len(refused)
    statuses = {service.shown(name)["status"] for name in all_of(service)}
    assert statuses <= {"completed", "completed_nothing_found"}
    timed = source not in ("kg", "kg/by")
    assert (taken > 0) == timed
    assert {error.code for _, error in refused} == {"window" if timed else "no_times"}
    if source is None:
        numbered = [error.message for ends, error in refused if {*ends.values()} - {DATE}]
        says = ("times of data are in s, those of views in ms. Write dates", "relation with from")
        assert numbered
        assert all(part in message for part in says for message in numbered)


def all_of(service: Service) -> list[str]:
    from sqlalchemy import select

    from alteraser.ledger.schema import requests

    with service.state.database.reading() as connection:
        return list(connection.execute(select(requests.c.id)).scalars())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (f"--from views --since {MIDDLE}", "where the times of views are in ms. Write it in ms"),
        (f"--since {MIDDLE}000", "where the times of the data are in s. Write it in s"),
        (f"--from views --since {DATE[:19]}.0005", "the times of views are whole ms"),
        ("--from kg --since 2024-01-01", "--from kg/by: it has no times"),
        ("--from kg --since 2024-01-01", "give FORGET, a table of the rows that are to go"),
    ],
)
def test_the_command_line_names_the_relation(
    options: str,
    says: str,
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(world)
    line = ["forget", "model", "--data", "data.csv", *FILES, *options.split(), "--dry-run"]
    assert main(line) == 2
    assert says in capsys.readouterr().err
