"""Models of several sources served: a request reaches every source in which those it names occur,
and nothing of them stays."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from alteraser.cli.beside import Beside, with_sources
from alteraser.cli.main import main
from alteraser.data.side.given import MAIN
from alteraser.data.side.holding import HeldSources
from alteraser.data.side.parts import Parts, told
from alteraser.engines.store import archive
from alteraser.engines.store.roots import source_roots
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.ledger import log
from alteraser.ledger.asked import asked
from alteraser.models.folder import load_model
from alteraser.service.backup import backup
from alteraser.service.ingest import ingest, ingest_file
from alteraser.service.restore import restore
from alteraser.service.serving import Serving
from alteraser.service.state import create, declared_by
from alteraser.verbs.relational.train import train as train_linear

from . import several
from .conftest import Service, copied
from .several import WHOLE, person

Names = set[tuple[Any, ...]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, the model and the state, made once."""
    root = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        several.make()
    return root


@pytest.fixture
def service(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with copied(world, tmp_path, monkeypatch) as opened:
        yield opened


def held(service: Service) -> HeldSources:
    found = service.state.load_serving().held
    assert isinstance(found, HeldSources)
    return found


def names(service: Service) -> Names:
    """What every part says that is there."""
    return {name for _, _, name, _ in told(held(service).given)}


def of(who: Any) -> Callable[[tuple[Any, ...]], bool]:
    return lambda name: who in name[2:]


RESTS: dict[str, tuple[dict[str, Any], Callable[[tuple[Any, ...]], bool]]] = {
    "user": ({"users": [person(3)]}, of(person(3))),
    "users": ({"users": [person(3), person(5)]}, lambda x: of(person(3))(x) or of(person(5))(x)),
    "item": ({"items": [4]}, of(4)),
    "pair": ({"pairs": [[person(0), 0]]}, lambda x: x[2:4] == (person(0), 0)),
    "from": ({"users": [person(3)], "from": "views"}, lambda x: x[1:3] == ("views", person(3))),
    "from data": ({"users": [person(3)], "from": MAIN}, lambda x: x[1:3] == (MAIN, person(3))),
    "pair from": (
        {"pairs": [[0, "maker-0"]], "from": "kg"},
        lambda x: x[1] == "kg/by" and x[2:4] == (0, "maker-0"),
    ),
    "node": ({"entity": {"table": "kg", "id": "maker-1"}}, of("maker-1")),
    "word": (
        {"entity": {"table": "genre", "id": "jazz"}},
        lambda x: x[:3] == ("value", "item", "genre") and x[4] == "jazz",
    ),
    "context": (
        {"entity": {"table": "place", "id": "home"}},
        lambda x: x[1] == MAIN and x[4] == "home",
    ),
    "entities": (
        {"entities": [{"table": "user", "id": person(3)}, {"table": "kg", "id": "maker-1"}]},
        lambda x: of(person(3))(x) or of("maker-1")(x),
    ),
    "attribute": (
        {"attributes": ["user:age"]},
        lambda x: x[:3] == ("value", "user", "age"),
    ),
    "attribute of some": (
        {"attributes": ["user:age", "user:job"], "users": [person(6)]},
        lambda x: x[0] == "value" and x[1] == "user" and x[3] == person(6),
    ),
    "window": (
        {"user": person(2), "since": several.START + 3_600 * 50},
        lambda x: x[0] == "row" and x[2] == person(2) and x[-1] >= several.START + 3_600 * 50,
    ),
    "window from": (
        {"user": person(2), "since": several.START + 3_600 * 50, "from": "views"},
        lambda x: x[1:3] == ("views", person(2)) and x[-1] >= several.START + 3_600 * 50,
    ),
}


@pytest.mark.parametrize("case", list(RESTS))
def test_a_request_takes_what_it_names_of_every_source(case: str, service: Service) -> None:
    """By another route: everything that is there, without what a predicate names; and the model is
    the one that training without it comes to."""
    body, goes = RESTS[case]
    before = names(service)
    wanted = {name for name in before if not goes(name)}
    name = service.send(body)
    service.work()
    shown, version = service.shown(name), service.state.load_serving()
    assert shown["status"] == "completed"
    assert names(service) == wanted
    assert shown["counts"]["interactions"] == sum(x[0] == "row" for x in before - wanted)
    assert shown["counts"]["values"] == sum(x[0] == "value" for x in before - wanted)
    model: Any = version.model
    again = train_linear(model.settings, held(service).given, threads=1)
    assert abs(scores(model) - scores(again)).max() < 1e-4


def scores(model: Any) -> Any:
    return model.factors.users @ model.factors.items.T


def test_requests_of_a_batch_are_done_together(service: Service) -> None:
    """What one asks for and another holds stays; each has counts of its own."""
    before = names(service)
    kept = next(x for x in before if x[1] == MAIN and x[2] == person(3))
    sent = [
        service.send({"users": [person(3)]}),
        service.send({"users": [person(3), "nobody"], "hold": [[person(3), kept[3]]]}),
        service.send({"attributes": ["item:genre"]}),
    ]
    service.work()
    shown = [service.shown(each) for each in sent]
    left = {x for x in before if not of(person(3))(x) and x[:3] != ("value", "item", "genre")}
    stays = {x for x in before if x[0] == "row" and x[2:4] == (person(3), kept[3])}
    assert names(service) == left | stays
    assert shown[1]["counts"] == shown[0]["counts"] | {
        "asked": 2,
        "absent": 1,
        "held": len(stays),
        "interactions": shown[0]["counts"]["interactions"] - len(stays),
    }


def test_nothing_found_is_said_and_changes_nothing(service: Service) -> None:
    before = service.state.load_serving().id
    sent = [
        service.send({"users": ["nobody"]}),
        service.send({"users": [person(PEOPLE_OF_VIEWS)], "from": MAIN}),
        service.send({"entity": {"table": "genre", "id": "polka"}}),
        service.send({"attributes": ["user:age"], "users": [person(4)]}),
    ]
    service.work()
    assert {service.shown(x)["status"] for x in sent} == {"completed_nothing_found"}
    assert service.state.load_serving().id == before


PEOPLE_OF_VIEWS = several.PEOPLE
"""The first who is in views alone"""


def test_who_is_in_a_table_of_features_alone_goes_from_it(service: Service) -> None:
    """Nothing of them was learned: the model stays, what is kept does not."""
    before = service.state.load_serving()
    name = service.send({"users": ["cold"]})
    service.work()
    after = service.state.load_serving()
    assert service.shown(name)["counts"]["values"] > 0
    assert after.id != before.id
    assert after.model.digest == before.model.digest
    assert not any("cold" in x for x in names(service))


def test_everything_goes_only_as_far_as_a_model_is_left(service: Service) -> None:
    before = service.state.load_serving().id
    name = service.send({"users": [person(n) for n in range(several.PEOPLE)]})
    service.work()
    shown = service.shown(name)
    assert (shown["status"], shown["reason"]) == ("failed", "nothing_left")
    assert service.state.load_serving().id == before


EMPTIED: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "views": (
        [{"users": [person(n) for n in range(several.PEOPLE + 2)], "from": "views"}],
        [{"head": "new", "tail": 2}, {"user": person(4), "item": 97}],
    ),
    "kg": (
        [{"items": list(range(several.THINGS)), "from": "kg"}],
        [{"head": "n1", "relation": "by", "tail": "maker-9"}],
    ),
    "age": ([{"attributes": ["user:age"]}, {"attributes": ["user:job"]}], []),
    "genre": ([{"attributes": ["item:genre"]}], []),
}


@pytest.mark.parametrize("emptied", list(EMPTIED))
def test_a_source_of_which_nothing_is_left(emptied: str, service: Service) -> None:
    """It is none any more, until something new is said; the version is whole, and goes on."""
    bodies, rows = EMPTIED[emptied]
    for body in bodies:
        service.send(body)
        service.work()
    version = service.state.load_serving()
    assert verified(version) == 0
    sources = version.document["data"]["sources"]
    if not rows:
        table = "user" if emptied == "age" else "item"
        assert sources[f"{table} features"]["rows"] == 0
    else:
        assert f"relation {emptied}" not in sources
        body = {"users": ["new"], "from": emptied}
        assert asked(body, declared_by(version)).source == emptied
        found = ingest(service.state, version, rows, emptied)
        assert found["accepted"] == len(rows)
    name = service.send({"users": [person(1)]})
    service.work()
    assert service.shown(name)["status"] == "completed"
    version = service.state.load_serving()
    assert verified(version) == 0
    if rows:
        assert version.document["data"]["sources"][f"relation {emptied}"]["rows"] == len(rows)
        assert ingest(service.state, version, rows, emptied)["known"] == len(rows)


def verified(version: Any) -> int:
    """What the command says of a version's files."""
    files = version.folder
    line = ["verify", f"{files}/model", "--data", f"{files}/interactions.parquet"]
    return main([*line, "--setup", f"{files}/setup.toml", "-q"])


# ---------------------------------------------------------------- bad requests

ONE = person(1)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown_relation": ({"users": [ONE], "from": "likes"}, "from: there are data, views, kg"),
    "from": ({"attributes": ["user:age"], "from": "views"}, "from goes with users, items, pairs"),
    "unknown_table": ({"entity": {"table": "tag", "id": "x"}}, "table; there are user, item, kg"),
    "unknown_attribute": ({"attributes": ["user:height"]}, "item:genre, user:age, user:job"),
    "attributes": ({"attributes": ["item:genre"], "users": [ONE]}, "users go with those of users"),
    "type": ({"entity": {"table": "user"}}, 'expected {"table": …, "id": …}'),
    "id_type": ({"entity": {"table": "item", "id": "4"}}, "whole numbers, found a text"),
    "scope_ambiguous": ({"entity": {"table": "item", "id": 4}, "users": [ONE]}, "in one request"),
    "scope_empty": ({"attributes": []}, "the list is empty"),
    "wildcard": ({"entity": {"table": "user", "id": "*"}}, "no way to name all"),
}


@pytest.mark.parametrize("code", list(BAD))
def test_bad_requests_are_refused(code: str, service: Service) -> None:
    body, words = BAD[code]
    with pytest.raises(InvalidInput) as refused:
        service.send(body)
    assert refused.value.details["code"] == code
    assert words in refused.value.message


def emptied(body: Any, *, ids: bool = False) -> Iterator[Any]:
    """``body`` with one of its ids empty, for each of them that is text."""
    if isinstance(body, dict):
        for name, value in body.items():
            mine = name in ("users", "items", "pairs", "user", "id") or ids
            if name not in ("from", "since", "until", "attributes", "table"):
                yield from ({**body, name: each} for each in emptied(value, ids=mine))
    elif isinstance(body, list):
        for place, value in enumerate(body):
            for each in emptied(value, ids=ids):
                yield [*body[:place], each, *body[place + 1 :]]
    elif ids and isinstance(body, str):
        yield ""


@pytest.mark.parametrize("case", list(RESTS))
def test_an_empty_id_is_refused_wherever_one_may_stand(case: str, service: Service) -> None:
    """It would find nothing, and be answered as something done."""
    for body in emptied(RESTS[case][0]):
        with pytest.raises(InvalidInput, match="the id is empty") as refused:
            service.send(body)
        assert refused.value.details["code"] == "id_empty"


def test_there_are_empty_ids_to_refuse() -> None:
    assert len([each for body, _ in RESTS.values() for each in emptied(body)]) > 10


def test_a_number_has_no_words(service: Service) -> None:
    with pytest.raises(InvalidInput, match="no such table"):
        service.send({"entity": {"table": "age", "id": "20"}})


def test_sources_mean_nothing_where_there_is_one(service: Service, made: Path) -> None:
    from alteraser.ledger.asked import Declared, asked

    for body in ({"users": [1], "from": "views"}, {"attributes": ["user:age"]}):
        with pytest.raises(InvalidInput, match="learned from interactions alone"):
            asked(body, Declared("int64", "int64", None))


# ---------------------------------------------------------------- at once


def test_what_is_to_go_is_hidden_at_once(service: Service) -> None:
    """Users have no list, items are in none, and neither is what somebody asks to forget, of any
    relation; their rows are the served ones until the next version."""
    serving = Serving(service.state)

    def listed(user: str) -> list[Any]:
        return [each["item_id"] for each in serving.recommend(user, 20)["items"]]

    whole = {user: listed(user) for user in map(person, range(4))}
    had = {x[3] for x in names(service) if x[1] == MAIN and x[2] == person(0)}
    assert not had & set(whole[person(0)])
    viewed = {x[3] for x in names(service) if x[1] == "views" and x[2] == person(1)}
    only = sorted(viewed & set(whole[person(1)]))
    service.send({"pairs": [[person(0), min(had)]]})
    service.send({"users": [person(1)], "from": "views"})
    service.send({"entity": {"table": "user", "id": person(2)}})
    service.send({"entity": {"table": "item", "id": whole[person(3)][0]}})
    service.send({"attributes": ["user:age"]})
    assert min(had) not in listed(person(0))
    assert listed(person(1)) == [
        x for x in whole[person(1)] if x not in {*only, whole[person(3)][0]}
    ]
    assert listed(person(3)) == whole[person(3)][1:]
    with pytest.raises(NotFound, match="no such user"):
        listed(person(2))
    assert serving.recommend(person(1), 3)["set_aside"] == len(viewed)
    service.work()
    assert set(only) <= set(listed(person(1)))


def test_somebody_of_whom_nothing_would_be_left_has_no_list(service: Service) -> None:
    serving, who = Serving(service.state), person(0)
    mine = [x for x in names(service) if x[0] == "row" and x[2] == who]
    service.send({"pairs": [[who, x[3]] for x in mine]})
    with pytest.raises(NotFound):
        serving.recommend(who, 3)
    service.work()
    # what is known of them is there still: they are like anybody who is new
    assert serving.recommend(who, 3)["items"]


# ---------------------------------------------------------------- lists


def test_changes_are_of_everybody_who_has_a_list(service: Service) -> None:
    """Also of who is in another relation alone; nobody's list is another one who is not told."""
    serving = Serving(service.state)
    first = service.state.load_serving()
    everybody = first.model.users.ids.to_pylist()

    def lists() -> dict[str, Any]:
        return {user: serving.recommend(user, 10)["items"] for user in everybody}

    before = lists()
    service.send({"entity": {"table": "genre", "id": "jazz"}})
    service.work()
    after, told_of = lists(), serving.changes(first.id)
    assert set(told_of["users"]) == {user for user in everybody if before[user] != after[user]}
    assert person(several.PEOPLE) in everybody


def test_lists_in_a_context_are_those_of_the_command_line(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Serving(service.state).recommend(person(5), 4, scores=True, context={"place": "home"})
    files = service.state.load_serving().folder
    line = f"recommend {files}/model --user {person(5)} -k 4 --context place=home"
    capsys.readouterr()
    assert main([*line.split(), "--data", f"{files}/interactions.parquet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["recommendations"][0]["items"]
    assert [x["item_id"] for x in found] == [x["item_id"] for x in shown["items"]]
    assert [x["score"] for x in found] == pytest.approx([x["score"] for x in shown["items"]])


def test_somebody_new_has_a_list_by_features(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = Serving(service.state)
    shown = serving.of_features(
        {"age": 31, "job": ["cook"]}, 4, context={"place": "work"}, scores=True
    )
    Path("new.csv").write_text("user_id,age,job\nx,31,cook\n")
    capsys.readouterr()
    line = "recommend model --features new.csv -k 4 --context place=work --json"
    assert main(line.split()) == 0
    found = json.loads(capsys.readouterr().out)["recommendations"][0]["items"]
    assert [x["item_id"] for x in found] == [x["item_id"] for x in shown["items"]]
    assert [x["score"] for x in found] == pytest.approx([x["score"] for x in shown["items"]])
    again = serving.recommend("cold", 4)
    known = {x[2]: x[4] for x in names(service) if x[0] == "value" and x[3] == "cold"}
    jobs = [x[4] for x in names(service) if x[:4] == ("value", "user", "job", "cold")]
    features = {"age": float(known["age"])} | ({"job": jobs} if jobs else {})
    assert again["items"] == serving.of_features(features, 4, context={})["items"]
    service.send({"items": [shown["items"][0]["item_id"]]})
    less = serving.of_features({"age": 31, "job": ["cook"]}, 4, context={"place": "work"})
    assert less["items"][:3] == [{"item_id": x["item_id"]} for x in shown["items"][1:]]


def test_lists_of_some_items_alone(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of those that nobody had, as on the command line; what is to go is in none."""
    serving, (jazz, rock) = Serving(service.state), several.COLD
    some = [3, 7, jazz, rock, 1_000]
    Path("some.csv").write_text("item_id\n" + "\n".join(map(str, some)) + "\n")
    files = service.state.load_serving().folder
    for context in ({}, {"place": "home"}):
        shown = serving.recommend(person(5), 9, scores=True, context=context, among=some)
        line = f"recommend {files}/model --user {person(5)} --item-features items.csv"
        line += " --context place=home" if context else ""
        capsys.readouterr()
        masked = ["--data", f"{files}/interactions.parquet", "--among", "some.csv", "--json"]
        assert main([*line.split(), *masked]) == 0
        found = json.loads(capsys.readouterr().out)["recommendations"][0]["items"]
        assert {jazz, rock} <= {x["item_id"] for x in found}
        assert [x["item_id"] for x in found] == [x["item_id"] for x in shown["items"]]
        assert [x["score"] for x in found] == pytest.approx([x["score"] for x in shown["items"]])
        fewer = serving.recommend(person(5), 1, scores=True, context=context, among=some)
        assert fewer["items"] == shown["items"][:1]
    new = serving.of_features({"age": 31}, 9, context={}, among=[rock, jazz])
    assert {x["item_id"] for x in new["items"]} == {jazz, rock}
    assert (
        serving.of_features({"age": 31}, 1, context={}, among=[rock, jazz])["items"]
        == (new["items"][:1])
    )
    assert serving.recommend(person(5), 9, among=[1_000])["items"] == []
    service.send({"items": [jazz]})
    left = serving.recommend(person(5), 9, scores=True, context={"place": "home"}, among=some)
    assert left["items"] == [x for x in shown["items"] if x["item_id"] != jazz]
    with pytest.raises(InvalidInput, match="among"):
        serving.recommend(person(5), 3, among=["x"])


@pytest.mark.parametrize(
    ("features", "context", "words"),
    [
        ({"height": 3}, {}, "features: of users the model here has age, job"),
        ({"age": "old"}, {}, "'old' is not a number"),
        ({"age": ["x"]}, {}, "features.age: expected a number"),
        ({"job": True}, {}, "features.job: expected text, or a list of texts"),
        (
            {"age": 3},
            {"weather": "rain"},
            "context weather=rain: the model tells nothing of weather",
        ),
        ({"age": 3}, {"place": "moon"}, "of place the model knows home, work"),
    ],
)
def test_lists_that_cannot_be_made(
    service: Service, features: Any, context: Any, words: str
) -> None:
    with pytest.raises((InvalidInput, NotFound), match=words.replace("[", r"\[")):
        Serving(service.state).of_features(features, 3, context=context)


# ---------------------------------------------------------------- what is added


def test_rows_of_every_relation_are_learned(service: Service) -> None:
    """New people, things, nodes and words too; what is there and what was erased is left out, in
    both roads."""
    first = {"user": person(6), "item": 3, "timestamp": several.START, "context": {"place": "gym"}}
    sent: list[tuple[str, list[dict[str, Any]]]] = [
        (MAIN, [first, {"user": "new", "item": 99, "timestamp": several.START}]),
        ("views", [{"user": "new", "item": 2, "timestamp": several.START + 5}]),
        ("kg", [{"head": "n1", "relation": "by", "tail": "maker-9"}]),
    ]
    for relation, rows in sent:
        version = service.state.load_serving()
        assert ingest(service.state, version, rows, relation)["accepted"] == len(rows)
    service.send({"users": [person(3)]})
    service.work()
    wanted = {
        ("row", MAIN, person(6), 3, "gym", several.START),
        ("row", MAIN, "new", 99, None, several.START),
        ("row", "views", "new", 2, several.START + 5),
        ("row", "kg/by", 1, "maker-9", None),
    }
    assert wanted <= names(service)
    version = service.state.load_serving()
    for relation, rows in sent:
        assert ingest(service.state, version, rows, relation)["known"] == len(rows)
    again = pacsv.read_csv("views.csv")
    theirs = sum(x == person(3) for x in again["user_id"].to_pylist())
    found = ingest_file(service.state, version, Path("views.csv"), "views")
    assert found == {
        "accepted": 0,
        "known": again.num_rows - theirs,
        "erased_before": theirs,
        "left_out": 0,
    }
    found = ingest_file(service.state, version, Path("data.csv"), MAIN)
    assert found["accepted"] == 0
    assert found["erased_before"] > 0


def test_what_was_added_and_asked_to_go_is_never_learned(service: Service) -> None:
    version = service.state.load_serving()
    ingest(service.state, version, [{"user": person(9), "item": 99}])
    ingest(service.state, version, [{"user": person(9), "item": 98}], "views")
    name = service.send({"items": [98, 99]})
    service.work()
    assert service.shown(name)["counts"]["interactions"] == 2
    assert not any(98 in x or 99 in x for x in names(service))


@pytest.mark.parametrize(
    ("relation", "row", "words"),
    [
        (
            "likes",
            {"user": "x", "item": 1},
            "there is no relation likes; there are data, views, kg",
        ),
        ("kg", {"head": "n1", "relation": "near", "tail": "n2"}, "trained without kg/near"),
        ("kg", {"head": "n1", "tail": "n2"}, "relation is missing"),
        ("views", {"user": 3, "item": 1}, "the ids here are texts"),
        (MAIN, {"user": "x", "item": 1, "context": {"mood": "good"}}, "context: there are place"),
        ("views", {"user": "x", "item": 1, "context": {"place": "home"}}, "views has no contexts"),
        (MAIN, {"user": "x", "item": 1, "session": 3}, "expected user and item, or head and tail"),
        (MAIN, {"user": "x", "item": 1, "timestamp": "soon"}, "ISO 8601 or a whole number"),
        ("views", {"user": "x", "item": 1, "relation": "by"}, "views is no graph of relations"),
        ("views", {"user": "x", "item": 1, "head": "y", "tail": 2}, "user and item, or head and"),
        ("views", {"user": "x", "tail": 2}, "expected user and item, or head and tail"),
        *(
            (
                name,
                {"user": "x", "item": 1, "timestamp": 1_000 * several.START},
                r"interactions\[0\].timestamp: by its size in ms since 1970, where the times here "
                r"are in s. Send it in s",
            )
            for name in (MAIN, "views")
        ),
    ],
)
def test_rows_that_cannot_be_taken_in(
    service: Service, relation: str, row: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        ingest(service.state, service.state.load_serving(), [row], relation)
    with service.state.database.reading() as connection:
        from alteraser.ledger import ingests

        assert not ingests.waiting(connection)


@pytest.mark.parametrize("relation", [MAIN, "views"])
def test_files_in_another_unit_of_time(service: Service, relation: str, tmp_path: Path) -> None:
    rows = pa.table({"user_id": ["x"], "item_id": [1], "timestamp": [1_000 * several.START]})
    if relation == MAIN:
        rows = rows.append_column("place", pa.array(["home"]))
    pq.write_table(rows, tmp_path / "rows.parquet")
    version = service.state.load_serving()
    with pytest.raises(InvalidInput, match=r"rows.parquet: .* in ms since 1970, .* are in s"):
        ingest_file(service.state, version, tmp_path / "rows.parquet", relation)
    at = pa.array([several.START]).cast(pa.timestamp("s")).cast(pa.timestamp("ms"))
    rows = rows.set_column(2, "timestamp", at)  # which the column says, whatever its unit
    pq.write_table(rows, tmp_path / "rows.parquet")
    found = ingest_file(service.state, version, tmp_path / "rows.parquet", relation)
    assert found["accepted"] == 1


# ---------------------------------------------------------------- what is kept


@pytest.mark.parametrize("parts", [*((x,) for x in WHOLE), WHOLE, ()])
def test_a_published_version_is_verified_and_forgets_from_its_files(
    parts: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each part of it alone, all together, and none."""
    monkeypatch.chdir(tmp_path)
    several.make(parts, *(() if "contexts" in parts else ("--timestamp-column", "timestamp")))
    service = Service(tmp_path / "state")
    try:
        service.send({"users": [person(3)]})
        service.send({"user": person(5), "since": several.START + 3_600 * 50})
        service.work()
        version = service.state.load_serving()
    finally:
        service.close()
    files = version.folder
    capsys.readouterr()
    data = ["--data", f"{files}/interactions.parquet", "--setup", f"{files}/setup.toml", "--json"]
    assert main(["verify", f"{files}/model", *data, "--before", "model"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["class"], found["descends"]) == ("C", True)
    gone = ["--entity", f"user={person(6)}"]
    line = ["forget", f"{files}/model", *gone, *data, "--out", "next", "--remaining", "rest"]
    assert main(line) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "C"
    rest = ["--data", "rest/data.parquet", "--setup", "rest/setup.toml"]
    assert main(["verify", "next", *rest, "-q"]) == 0


def test_sources_have_roots_that_any_part_changes(service: Service) -> None:
    given = held(service).given
    key = b"k" * 32
    whole = source_roots(key, given)
    assert whole == source_roots(key, held(service).left(given).given)
    assert whole != source_roots(b"q" * 32, given)
    for source, place, name, _ in told(given):
        parts = Parts.none(given)
        parts.masks[source][place] = True
        left = source_roots(key, parts.left(given))
        mine = (
            MAIN
            if source == MAIN
            else "relation " + source.split("/")[0]
            if isinstance(source, str)
            else f"{source[0]} features"
        )
        if name[-1] is not None or name[0] == "row":
            assert left.get(mine) != whole[mine]
    document = service.state.load_serving().document["data"]["sources"]
    for name, said in document.items():
        assert set(said) == {"digest", "root", "rows"}, name


def test_a_receipt_tells_of_every_source_and_names_nobody(service: Service) -> None:
    sent = [
        service.send({"users": [person(3)]}),
        service.send({"entity": {"table": "kg", "id": "maker-1"}}),
        service.send({"attributes": ["user:age"], "users": [person(6)]}),
    ]
    service.work()
    for name in sent:
        with service.state.database.reading() as connection:
            content = log.receipt(connection, name, service.state.signer.public)
        assert content is not None
        from alteraser.ledger import receipts

        said = receipts.check(content, public=service.state.signer.public).predicate
        before, after = (said["data"][x]["sources"] for x in ("before", "after"))
        assert (
            before.keys()
            == after.keys()
            == {
                "relation views",
                "relation kg",
                "user features",
                "item features",
            }
        )
        assert before["relation kg"] != after["relation kg"]
        assert said["counts"].keys() >= {"interactions", "values"}
        for word in (person(3), person(6), "maker-1", "cook"):
            assert word.encode() not in content


def test_damage_in_any_file_is_found(service: Service) -> None:
    version = service.state.load_serving()
    for path in sorted(version.folder.glob("*")):
        if path.is_file() and path.name != "version.json":
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(IntegrityError, match="does not match its digest"):
                service.state.load(version.id)
            path.write_bytes(content)
    service.state.load(version.id)


def test_a_version_below_the_floor_is_not_served_again(service: Service) -> None:
    from alteraser.errors import RefusedByPolicy
    from alteraser.ledger import versions

    first = service.state.load_serving().id
    service.send({"entity": {"table": "genre", "id": "jazz"}})
    service.work()
    with pytest.raises(RefusedByPolicy), service.state.database.writing() as connection:
        versions.activate(connection, first, service.state.clock())
    assert not (service.state.folders.versions / first).exists()


def test_a_backup_restored_forgets_again_what_went_since(service: Service, tmp_path: Path) -> None:
    """Of every source; what nobody asked for stays."""
    first = names(service)
    backup(service.root, tmp_path / "backup")
    for body in (
        {"users": [person(3)]},
        {"entity": {"table": "kg", "id": "maker-1"}},
        {"attributes": ["user:age"], "users": [person(6)]},
        {"user": person(5), "since": several.START + 3_600 * 50},
    ):
        service.send(body)
        service.work()
    wanted = names(service)
    assert len(wanted) < len(first)
    told_of = restore(tmp_path / "backup", tmp_path / "again", service.root, threads=1)
    assert told_of["interactions_erased_again"] == len(first - wanted)
    assert told_of["complete"]
    opened = Service(tmp_path / "again")
    try:
        assert names(opened) == wanted
    finally:
        opened.close()


def test_names_of_files_are_those_of_a_backup(service: Service) -> None:
    for path in service.state.load_serving().folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(service.state.folders.root).as_posix()
            assert archive.MEMBER.fullmatch(name), name


@pytest.mark.parametrize("whose", [None, person(2)])
def test_a_window_of_a_relation_on_the_command_line(
    whose: str | None, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the times of that relation, of everybody or of one; a relation without times has none."""
    monkeypatch.chdir(world)
    files = several.options(tuple(x for x in WHOLE if x != "contexts"))
    since = several.START + 3_600 * 50
    line = ["forget", "model", "--data", "data.csv", *files, "--since", str(since)]
    line += [] if whose is None else ["--user", whose]
    out = ["--out", str(tmp_path / "next"), "--remaining", str(tmp_path / "rest"), "-q"]
    assert main([*line, "--from", "views", *out]) == 0
    rest = pq.read_table(tmp_path / "rest" / "relation-views.parquet").to_pylist()
    whole = pacsv.read_csv("views.csv").to_pylist()

    def goes(row: dict[str, Any]) -> bool:
        return row["timestamp"] >= since and whose in (None, row["user_id"])

    assert rest == [row for row in whole if not goes(row)]
    assert 0 < len(rest) < len(whole)
    assert main([*line, "--from", "kg", "--out", str(tmp_path / "more"), "-q"]) == 2


def test_odd_names_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of relations, columns, words and ids, also those that the state calls its own columns by."""
    monkeypatch.chdir(tmp_path)
    who = ["Zoë", "a,b", "=cmd()", "x|y", "two\nlines", 'q"uote', "1", "01"]
    rows = [(a, f"it,{n % 5}") for n, a in enumerate(who * 3)]
    words = (["x y", '"z"', None, "ü|v"] * 6)[: len(rows)]
    names_, items = ([row[at] for row in rows] for at in (0, 1))
    data = {"uid": names_, "thing": items, "user_id": words, "confidence": ["lo", "hi"] * 12}
    pq.write_table(pa.table(data), "data.parquet")
    lists = [["a|b"], ["c,d"], [], None] * 2
    known = {"uid": who, "user_id": lists, "item_id": [0.5 * n for n in range(8)], "a=b,c:d": who}
    pq.write_table(pa.table(known), "users.parquet")
    pq.write_table(pa.table({"from": who, "to": who[1:] + who[:1]}), "knows.parquet")
    relation = "später.x-1=knows.parquet:user,user"
    line = "train data.parquet --user-column uid --item-column thing --duplicates first --factors 2"
    more = ["--context", "user_id,confidence", "--relation", relation]
    more += ["--user-features", "users.parquet", "--regularization", "0.5", "--out", "model", "-q"]
    assert main([*line.split(), *more]) == 0
    model, beside = Path("model"), Beside(relation=[relation], user_features="users.parquet")
    create(tmp_path / "state", model, Path("data.parquet"), with_sources(model, beside)[1], rate=0)
    service = Service(tmp_path / "state")
    try:
        before = names(service)
        for body, goes in (
            ({"users": ["Zoë"]}, of("Zoë")),
            (
                {"entity": {"table": "user:user_id", "id": "a|b"}},
                lambda x: x[0] == "value" and x[2] == "user_id" and x[4] == "a|b",
            ),
            (
                {"entity": {"table": "user_id", "id": "ü|v"}},
                lambda x: x[1] == MAIN and "ü|v" in x[4:],
            ),
            ({"attributes": ["user:a=b,c:d"]}, lambda x: x[2] == "a=b,c:d"),
            (
                {"users": ["two\nlines"], "from": "später.x-1"},
                lambda x: x[1] == "später.x-1" and of("two\nlines")(x),
            ),
        ):
            service.send(body)
            service.work()
            before = {x for x in before if not goes(x)}
            assert names(service) == before
        files = service.state.load_serving().folder
    finally:
        service.close()
    data_ = ["--data", f"{files}/interactions.parquet", "--setup", f"{files}/setup.toml", "-q"]
    assert main(["verify", f"{files}/model", *data_]) == 0


# ---------------------------------------------------------------- the start


def test_a_state_needs_all_that_its_model_learned_from(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file, one that was changed, one too many: each is named, and nothing is made."""
    monkeypatch.chdir(world)
    changed = tmp_path / "users.csv"
    changed.write_text((world / "users.csv").read_text().replace("20,", "21,", 1))
    line = ["serve", "--state", str(tmp_path / "state"), "--model", "model", "--data", "data.csv"]
    whole = several.options(tuple(x for x in WHOLE if x != "contexts"))
    views, users = whole.index("views=views.csv"), whole.index("users.csv:age=number,job")
    features = "--user-features"
    cases = {
        "the model was trained with the relation views (--relation views=FILE)": (
            whole[: views - 1] + whole[views + 1 :],
            6,
        ),
        f"the features of users ({features}) are not what the model was trained on": (
            [*whole[:users], str(changed), *whole[users + 1 :]],
            6,
        ),
        "(--relation more=FILE): leave them out": (
            [*whole, "--relation", "more=views.csv"],
            6,
        ),
        "nowhere.csv": ([*whole[:users], "nowhere.csv", *whole[users + 1 :]], 3),
        "was not trained with height of a user": (
            [*whole[:users], "users.csv:height", *whole[users + 1 :]],
            2,
        ),
    }
    for words, (given, code) in cases.items():
        assert main([*line, *given]) == code, words
        assert words in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "state").exists()


def test_options_of_sources_are_refused_for_other_kinds(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["serve", "--state", str(tmp_path / "state"), "--model", str(made / "knn")]
    more = ["--data", str(made / "data.csv"), "--user-features", "x.csv"]
    assert main([*line, *more]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--user-features means nothing to a model of kind item-knn" in said
    assert main(["serve", "--state", str(tmp_path / "state"), "--user-features", "x.csv"]) == 2
    assert "goes with --model and --data" in " ".join(capsys.readouterr().err.split())


def test_options_of_sources_from_a_file(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As every option of the service; of the type that they have."""
    place = tmp_path / "alteraser.toml"
    whole = f'state = "{tmp_path}/state"\nmodel = "{made}/knn"\ndata = "{made}/data.csv"\n'
    for more, words in (
        ('relation = "views=views.csv"', "relation: expected a list of texts"),
        ('relation = ["views=views.csv"]', "--relation means nothing to a model of kind item-knn"),
        ('user-features = "users.csv"', "--user-features means nothing to a model of kind"),
        ('user-featurs = "users.csv"', "did you mean user_features?"),
    ):
        place.write_text(whole + more + "\n")
        assert main(["serve", "--config", str(place)]) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "state").exists()


def test_a_set_up_in_a_file_makes_the_same_state(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    (world / "setup.toml").write_text(SETUP)
    model, beside = Path("model"), Beside(setup=Path("setup.toml"))
    create(tmp_path / "state", model, Path("data.csv"), with_sources(model, beside)[1], rate=0)
    mine, theirs = Service(tmp_path / "state"), Service(world / "state")
    try:
        assert names(mine) == names(theirs)
    finally:
        mine.close()
        theirs.close()


SETUP = """
context = ["place"]
[features.user]
file = "users.csv"
columns = ["age=number", "job"]
[features.item]
file = "items.csv"
columns = ["genre"]
[relations.views]
file = "views.csv"
[relations.kg]
file = "kg.csv"
[entities.item]
file = "items.csv"
column = "node"
"""


def test_a_compacted_model_is_the_same_one(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has an empty row, so that nothing is left out; it is verified as it was."""
    monkeypatch.chdir(world)
    assert main(["compact", "model", "--out", str(tmp_path / "small"), "-q"]) == 0
    files = several.options(tuple(x for x in WHOLE if x != "contexts"))
    assert main(["verify", str(tmp_path / "small"), "--data", "data.csv", *files, "-q"]) == 0
    before, after = (load_model(path) for path in (Path("model"), tmp_path / "small"))
    assert after.parent == before.digest
    assert after.users == before.users
