"""Events: what is told of a command, that nobody is named in it, that nothing is told where nobody
listens."""

from __future__ import annotations

import errno
import io
import json
import logging
import random
import string
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

import alteraser as ae
from alteraser.errors import Interrupted, NotFound
from alteraser.runtime import events

LIBRARIES = Path(__file__).parent.parent / "adapters" / "fixtures"


def told(path: str = "events.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def names(found: list[dict[str, Any]]) -> list[str]:
    """The events in their order, passes once."""
    every = [entry["event"] for entry in found]
    return [
        name
        for place, name in enumerate(every)
        if name not in ("pass", "step") or every[place - 1] != name
    ]


@pytest.fixture
def people(tmp_path: Path) -> tuple[list[str], list[str]]:
    """Ids that occur nowhere but in the data: 24 users, 18 items; files in a folder with such a
    name too."""
    rng = random.Random(5)
    word = lambda: "".join(rng.choices(string.ascii_lowercase, k=9))  # noqa: E731
    users, items = [word() for _ in range(24)], [word() for _ in range(18)]
    rows = [
        f"{u},{v}"
        for i, u in enumerate(users)
        for j, v in enumerate(items)
        if (i + j) % 3 == 0 or rng.random() < 0.1
    ]
    (tmp_path / f"{users[0]}.csv").write_text("user_id,item_id\n" + "\n".join(rows) + "\n")
    (tmp_path / "gone.csv").write_text(
        "user_id,item_id\n" + "\n".join(rows[3:9]) + "\nnobody,nothing\n"
    )
    (tmp_path / "users.csv").write_text(f"user_id\n{users[4]}\n")
    return users, items


@pytest.mark.parametrize("kind", ["enmf --factors 3", "item-knn --neighbors 4"])
def test_a_full_forget_names_nobody(
    kind: str, people: tuple[list[str], list[str]], run: Run
) -> None:
    users, items = people
    data, log = f"{users[0]}.csv", "--log events.jsonl"
    for line in (
        f"train {data} --model {kind} --out model",
        f"forget model gone.csv --data {data} --out new --remaining rest.csv",
        "forget new users.csv --data rest.csv --out newer --remaining less.csv",
        f"verify newer --data less.csv --before model --forgotten {data}",
        f"recommend newer --user {users[6]} --data less.csv",
        "evaluate newer --test gone.csv --data less.csv",
        "compare newer new --data less.csv",
        "inspect newer",
        f"forget newer users.csv --data {data} --out no",
        "forget newer gone.csv --data less.csv --out no",
        f"recommend newer --user {users[4]}",
    ):
        run(f"{log} {line} --json")
    text = Path("events.jsonl").read_text()
    assert text.count("refused") >= 1
    assert [
        word for word in (*users, *items, "nobody", "nothing", ".csv", "/") if word in text
    ] == []


def test_what_is_told_of_forgetting(run: Run) -> None:
    code, _, _ = run(
        "--log events.jsonl forget {w}/model {w}/forget.csv --data {w}/data.csv --out new --json"
    )
    found = told()
    assert code == 0
    assert names(found) == [
        "read",
        "checked",
        "started",
        "pass",
        "step",
        "finished",
        "written",
        "answered",
    ]
    by = {entry["event"]: entry for entry in found}
    assert by["checked"]["forgotten"] == 30
    assert by["read"]["interactions"] - 30 == by["checked"]["remaining"]
    assert by["finished"]["verb"] == "forget"
    assert by["finished"]["kind"] in ("A", "C")
    assert next(entry["number"] for entry in found if entry["event"] == "pass") == 1
    assert by["written"]["bytes"] == sum(path.stat().st_size for path in Path("new").iterdir())
    assert (by["answered"]["exit_code"], by["answered"]["time"] >= by["read"]["time"]) == (0, True)


def test_ranking_is_inside_what_is_told_of_evaluate(run: Run) -> None:
    line = "evaluate {w}/model --test {w}/forget.csv --data {w}/data.csv --json"
    run(f"--log whole.jsonl {line}")  # every item is masked
    Path("gone.csv").write_text("user_id,item_id\n1,4\n1,5\n1,6\n1,7\n1,8\n1,9\n")
    code, _, err = run(
        "--log events.jsonl evaluate {w}/model --test gone.csv --data {w}/forget.csv --json"
    )
    assert code == 0, err
    assert [entry["verb"] for entry in told() if entry["event"] == "started"] == ["evaluate"]
    refused = [json.loads(text) for text in Path("whole.jsonl").read_text().splitlines()]
    assert "started" in names(refused)
    assert "finished" not in names(refused)


def test_what_is_told_of_another_librarys_file(run: Run) -> None:
    Path("gone.csv").write_text("user_id,item_id\n1,4\n")
    data = f"--data {LIBRARIES}/implicit/data.csv --rating plays --rows-are-ids"
    code, _, err = run(
        f"--log events.jsonl forget {LIBRARIES}/implicit/als.npz gone.csv {data} --out new.npz "
        "--json"
    )
    assert code == 0, err
    found = told()
    assert {"read", "checked", "started", "finished", "written", "answered"} <= {
        entry["event"] for entry in found
    }
    assert next(entry for entry in found if entry["event"] == "checked")["passed"] is True


def test_a_refusal_is_told_by_its_kind(run: Run) -> None:
    code, _, _ = run(
        "--log events.jsonl forget {w}/model {w}/nobody.csv --data {w}/data.csv --out new"
    )
    assert [(e["event"], e.get("kind"), e.get("exit_code")) for e in told()][-2:] == [
        ("refused", "not_found", 3),
        ("answered", None, 3),
    ]
    assert code == 3


def test_the_environment_asks_for_it_on_stderr(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALTERASER_LOG", "json")
    code, out, err = run("inspect {w}/model --json")
    assert code == 0
    assert json.loads(out)["kind"] == "enmf"
    assert '"event": "answered"' in err


def test_a_log_that_cannot_be_opened_is_said_before_anything_is_done(
    run: Run, tmp_path: Path
) -> None:
    code, _, err = run(
        "--log no/such/folder forget {w}/model {w}/forget.csv --data {w}/data.csv --out new"
    )
    assert code == 2
    assert "no/such/folder: No such file or directory" in err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_told_where_nobody_listens(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("an event was made")

    monkeypatch.setattr(events, "Event", refuse)
    assert run("forget {w}/model {w}/forget.csv --data {w}/data.csv --out new -q")[0] == 0
    on_pass = lambda record: None  # noqa: E731
    assert events.passes(on_pass) is on_pass
    assert not events.heard()


def test_failures_are_told_and_go_on() -> None:
    heard: list[events.Event] = []
    for cause in (
        NotFound("of alice"),
        Interrupted("stopped"),
        KeyboardInterrupt(),
        ZeroDivisionError(),
    ):

        @events.verb("forget")
        def fail(cause: BaseException = cause) -> None:
            raise cause

        with events.listening(heard.append), pytest.raises(type(cause)):
            fail()
    assert [event.name for event in heard if event.name != "started"] == [
        "refused",
        "interrupted",
        "interrupted",
    ]
    assert "alice" not in repr(heard)


def test_a_log_that_is_full_ends_and_the_work_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with events.listening(events.json_lines(Full())):
        events.emit("read", interactions=3)
        events.emit("read", interactions=4)
    assert capsys.readouterr().err == "the log ends here: No space left on device\n"


def test_a_program_listens_with_logging(world: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = ae.Interactions.read(world / "data.csv")
    with caplog.at_level(logging.INFO, "alteraser.events"), events.listening(events.to_logging):
        ae.Popularity().fit(data)
    assert [record.message.split()[0] for record in caplog.records] == ["started", "finished"]
    assert caplog.records[1].values["kind"] == "popularity"  # type: ignore[attr-defined]
