"""Real Spark trains; we forget; Spark loads what we wrote, and trains anew on what remains (``make
test-interop``)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import side

from alteraser.adapters import ForeignOptions, spark
from alteraser.adapters.forget import forget_foreign, open_foreign
from alteraser.data.readers import ReadingOptions
from alteraser.models import Factors
from alteraser.solvers.stationarity import evaluate

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        shutil.which("java") is None, reason="Spark needs a Java runtime, 17 or newer"
    ),
]
HERE = Path(__file__).parent
WHOLE, SOME = 26, (5, 11, 14)  # a user who goes whole, and users who lose a row each
IMPLICIT = ForeignOptions(
    regularization=0.05,
    alpha=2.0,
    implicit=True,
    rating="plays",
    reading=ReadingOptions(user_column="user", item_column="item"),
)
OPTIONS = {
    "implicit": IMPLICIT,
    "explicit": IMPLICIT.model_copy(update={"implicit": False, "alpha": None, "rating": "stars"}),
    "pipeline": IMPLICIT.model_copy(
        update={"reading": ReadingOptions(user_column="user_name", item_column="item_name")}
    ),
}


@pytest.fixture(scope="module")
def forgotten(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """(folder of what we wrote, what Spark says of it, our erasures)"""
    trained, written = tmp_path_factory.mktemp("trained"), tmp_path_factory.mktemp("written")
    side.run("spark", side.FIXTURES / "spark" / "make_spark.py", trained)
    events = pq.read_table(trained / "events.parquet")
    user = events["user"].to_numpy()
    gone = user == WHOLE
    for one in SOME:
        gone[np.flatnonzero(user == one)[0]] = True
    erasures = {}
    for name, options in OPTIONS.items():
        opened = open_foreign(trained / name, trained / "events.parquet", options)
        rows = events.filter(gone).select(
            [options.reading.user_column, options.reading.item_column]
        )
        pairs = rows.rename_columns(["user_id", "item_id"])
        erasures[name] = forget_foreign(
            opened, pairs, written / name, method="converge", tolerance=1e-4, max_passes=500
        )
        assert erasures[name].converged
    shutil.copytree(trained / "events.parquet", written / "events.parquet")
    pq.write_table(events.filter(~gone), written / "remaining.parquet")
    answer = side.answer("spark", HERE / "read_spark.py", written, written / "remaining.parquet")
    return written, answer, erasures


@pytest.mark.parametrize("name", ["implicit", "explicit"])
def test_spark_reads_the_factors_that_we_wrote(name: str, forgotten: Any) -> None:
    written, answer, _ = forgotten
    ours = spark.ADAPTER.read(written / name, OPTIONS[name])
    for side_name, rows, ids in (
        ("users", ours.users, ours.user_ids),
        ("items", ours.items, ours.item_ids),
    ):
        theirs = {int(key): values for key, values in answer[name][side_name].items()}
        assert sorted(theirs) == ids.ids.to_pylist()
        np.testing.assert_array_equal([theirs[key] for key in sorted(theirs)], rows)


@pytest.mark.parametrize("name", ["implicit", "explicit"])
def test_an_erased_user_is_unknown_and_all_others_are_served(name: str, forgotten: Any) -> None:
    written, answer, _ = forgotten
    assert answer[name]["unknown"] == [WHOLE]
    assert str(WHOLE) not in answer[name]["lists"]
    assert len(answer[name]["lists"]) == 23
    ours = spark.ADAPTER.read(written / name, OPTIONS[name])
    for user, item, score in answer[name]["scores"]:
        u, v = ours.user_ids.rows_of([user])[0], ours.item_ids.rows_of([item])[0]
        assert score == pytest.approx(float(ours.users[u] @ ours.items[v]), rel=1e-4, abs=1e-5)


def test_a_pipeline_serves_everybody_under_their_own_name(forgotten: Any) -> None:
    written, answer, _ = forgotten
    ours = spark.ADAPTER.read(written / "pipeline", OPTIONS["pipeline"])
    scores = answer["pipeline"]["scores"]
    assert len({user for user, _, _ in scores}) == 23
    assert f"user-{(WHOLE - 5) // 3:02d}" not in {user for user, _, _ in scores}
    for user, item, score in scores:
        u, v = ours.user_ids.rows_of([user])[0], ours.item_ids.rows_of([item])[0]
        assert score == pytest.approx(float(ours.users[u] @ ours.items[v]), rel=1e-4, abs=1e-5)


def test_forgetting_is_where_spark_gets_by_training_anew(forgotten: Any) -> None:
    """The loss on what remains, of Spark's retrained model and of ours; from elsewhere it may end
    no deeper."""
    _, answer, erasures = forgotten
    erasure = erasures["implicit"]
    remaining = erasure.remaining
    foreign = erasure.model.opened.foreign
    problem = foreign.loss.problem(remaining, np.float64)
    P, Q = np.zeros(foreign.users.shape), np.zeros(foreign.items.shape)
    for rows, ids, found in ((P, foreign.user_ids, "users"), (Q, foreign.item_ids, "items")):
        theirs = {int(key): values for key, values in answer["retrained"][found].items()}
        rows[ids.rows_of(sorted(theirs))] = [theirs[key] for key in sorted(theirs)]
    d = foreign.shape[2]
    retrained = evaluate(problem, Factors(P, Q, np.ones(d))).objective
    mine = Factors(
        *(x.astype(np.float64) for x in (erasure.model.erased.users, erasure.model.erased.items)),
        np.ones(d),
    )
    ours = evaluate(problem, mine)
    assert ours.objective <= retrained * 1.001
    assert not np.any(P[foreign.user_ids.rows_of([WHOLE])])
