"""Tables and queries of a database are read as a file with the same rows is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from alteraser.cli.main import main
from alteraser.data.interactions import Interactions
from alteraser.data.readers._sql import sql_of
from alteraser.errors import DependencyMissing, InvalidInput, NotFound

pytest.importorskip("adbc_driver_sqlite", reason="no ADBC: pip install 'alteraser[sql]'")
ROWS = [(u, v, 1 + (u * v) % 5) for u in range(9) for v in range(7) if (u + v) % 3]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute('CREATE TABLE "odd name" (user_id INTEGER, item_id INTEGER, rating INT)')
        connection.executemany('INSERT INTO "odd name" VALUES (?, ?, ?)', ROWS)
    connection.close()
    lines = ["user_id,item_id,rating", *(",".join(map(str, row)) for row in ROWS)]
    (tmp_path / "shop.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "shop.db"


@pytest.mark.parametrize("fold", [str, Path])
def test_the_same_rows_are_the_same_data(shop: Path, fold: Callable) -> None:
    wanted = Interactions.read("shop.csv", threshold=3)
    query = 'SELECT item_id, user_id, rating FROM "odd name" WHERE rating > 2'
    for source in (
        "sqlite:///shop.db#odd name",
        f"sqlite:///{shop}#odd name",
        f"sqlite:///shop.db#{query}",
    ):
        found = Interactions.read(fold(source), threshold=3)
        assert found.digest == wanted.digest, source


def test_from_the_command_line(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = []
    for number, source in enumerate(["sqlite:///shop.db#odd name", "shop.csv"]):
        out = f"model-{number}"
        command = ["train", source, "--model", "item-knn"]
        assert main([*command, "--threshold", "3", "--out", out, "--quiet"]) == 0
        assert main(["verify", out, "--data", source, "--json"]) == 0
        digests.append(capsys.readouterr().out.count('"class": "A"'))
    assert digests[0] == digests[1]


def test_what_is_wrong_is_said(shop: Path) -> None:
    for source, error, words in (
        ("sqlite:///shop.db", InvalidInput, "a table or a query behind #"),
        ("sqlite:///shop.db#none", InvalidInput, "no such table"),
        ("sqlite:///shop.db#SELECT FROM", InvalidInput, "syntax"),
        ("sqlite:///none.db#odd name", NotFound, "no such database file"),
    ):
        with pytest.raises(error, match=words):
            Interactions.read(source)
    assert not Path("none.db").exists()
    with pytest.raises(InvalidInput):  # nobody gets out of the quotes
        Interactions.read('sqlite:///shop.db#odd name"; DROP TABLE "odd name')
    assert Interactions.read("sqlite:///shop.db#odd name").count == len(ROWS)


def test_a_server_is_read_too_and_its_password_is_not_shown(
    postgresql_database: Callable[[], str],
) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    import psycopg

    url = postgresql_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE ratings (user_id bigint, item_id text)")
        connection.execute("INSERT INTO ratings VALUES (1, 'tea'), (2, 'rice'), (1, 'rice')")
    found = Interactions.read(f"{url}#ratings")
    assert (found.count, found.items.kind) == (3, "string")
    with pytest.raises(DependencyMissing) as caught:
        Interactions.read("postgresql://me:hidden@127.0.0.1:1/shop#ratings")
    assert "hidden" not in caught.value.message
    asked = sql_of("postgresql://me:hidden@host/shop#t")
    assert asked is not None
    assert (asked.name, asked.query) == ("postgresql://me:***@host/shop#t", 'SELECT * FROM "t"')
