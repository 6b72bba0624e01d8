"""Recommenders that forget exactly: what fitting, one request, and shares of the users cost, and
how accurate they are.

All times are CPU seconds of this process, one BLAS thread for everybody, medians of interleaved
rounds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any

import numpy as np
import typer
from threadpoolctl import threadpool_limits

from alteraser.bench.common import (
    Sets,
    clocked,
    each,
    forget_peak,
    fresh,
    interleaved,
    load,
    memory,
    table,
    words,
)
from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions, Removal
from alteraser.data.sets.visits import generate_baskets, generate_sessions
from alteraser.errors import InvalidInput
from alteraser.models.closed_form.kind import ExactKind
from alteraser.models.ease import cost, inverse
from alteraser.models.ease.ease import EASE
from alteraser.models.ease.held import Held
from alteraser.models.registry import KINDS

Array = np.ndarray[Any, Any]

PARTS = ("fit", "share", "requests", "memory", "knn", "kinds", "events", "accuracy", "beside")
SHARES = (0.01, 0.05, 0.2)
COLUMNS = ["kind", "fit, s", "one user", *(f"{share:.0%}" for share in SHARES), "error"]
EVENTS: list[tuple[str, str, dict[str, Any]]] = [
    ("vs-knn", "sessions", {}),
    ("slist", "sessions", {}),
    ("slist", "sessions", {"dtype": "float32"}),
    ("tifu-knn", "baskets", {}),
    ("top-frequency", "baskets", {}),
]
"""Kinds of events, what they are of, and their settings"""
SEED = 42
"""That of the random users of CURE4Rec's sets"""


def exact(
    sets: Sets = None,
    only: Annotated[
        str, typer.Option("--only", help=f"Parts, with commas: {', '.join(PARTS)}.")
    ] = ",".join(PARTS),
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Rounds, a first one apart.")
    ] = 3,
    requests: Annotated[int, typer.Option("--requests", min=1, help="Users one by one.")] = 1000,
    items: Annotated[
        int, typer.Option("--items", min=100, help="Items of the part memory, which generates.")
    ] = 8000,
) -> int:
    """EASE against NumPy, item-kNN against implicit, EASE's requests in a warm process, every kind
    against a fit anew.

    Example: alteraser bench exact ml-1m --only fit,share
    """
    parts = words(only, "--only", PARTS)
    for folder in each(sets):
        with threadpool_limits(1):
            name, data = load(folder)
            data = data.compact()
            print(
                f"## Exact kinds: {name}, {data.shape[0]:,} users, {data.shape[1]:,} items, "
                f"{len(data):,}\n"
            )
            run: dict[str, Callable[[], None]] = {
                "fit": partial(_fit, data, repeats),
                "share": partial(_share, data, repeats),
                "requests": partial(_requests, data, requests),
                "knn": partial(_knn, data, repeats),
                "kinds": partial(_kinds, data),
                "accuracy": partial(_accuracy, data),
                "beside": partial(_beside, name, data),
            }
            for part in parts:
                if part in run:
                    run[part]()
    with threadpool_limits(1):
        if "events" in parts:
            _events()
        if "memory" in parts:
            _memory(items)
    return 0


def groups(data: Interactions, share: float) -> dict[str, Array]:
    """Rows of a share of the users: the most and least active, and random ones (CURE4Rec's core,
    edge and random).
    """
    order = np.argsort(-data.user_counts, kind="stable")
    count = max(1, round(share * data.shape[0]))
    random = np.random.default_rng(SEED).permutation(data.shape[0])[:count]
    return {"most active": order[:count], "least active": order[-count:], "random": random}


def without(data: Interactions, users: Array) -> Removal:
    """What taking ``users`` (rows) out of ``data`` does."""
    return data.remove(data.keep(np.isin(data.user_rows, users)))


def apart(kind: ExactKind, one: Any, other: Any) -> float:
    """Relative difference of what two states say of items (slist: of their inverses), the largest
    entry over the largest; 0 for the same bits.
    """
    if all(np.array_equal(one[name], other[name]) for name in other if name != "drift"):
        return 0.0
    sums = kind.name == "slist"
    first, second = (state["inverse"] if sums else kind.matrix(state) for state in (one, other))
    return float(abs(first - second).max() / abs(second).max())


def _fit(data: Interactions, repeats: int) -> None:
    """EASE against the product and NumPy's inverse."""
    kind, x = EASE(), inverse.cells(data)

    def numpy() -> None:
        np.linalg.inv((x.T @ x).toarray() + kind.regularization * np.eye(data.shape[1]))

    found = interleaved({"ours": lambda: kind.state(data, threads=1), "numpy": numpy}, repeats)
    print("### EASE: fit\n")
    table(
        ["ours", "XᵀX and numpy.linalg.inv, float64", "ratio", "goal at most"],
        [
            [
                *(f"{found[name]:.2f}" for name in ("ours", "numpy")),
                f"{found['ours'] / found['numpy']:.2f}",
                0.7,
            ]
        ],
    )


def _share(data: Interactions, repeats: int) -> None:
    """5 % of the users at once, against EASE's own fit of the rest."""
    kind = EASE()
    state = kind.state(data, threads=1)
    lines = []
    for name, users in groups(data, 0.05).items():
        removal = without(data, users)
        rest = removal.remaining
        found = interleaved(
            {
                "fit": partial(kind.state, rest, threads=1),
                "step": partial(kind.without, state, Deletion(data, removal), threads=1),
            },
            repeats,
        )
        rows, lengths = inverse.cells(data)[users], rest.user_counts.astype(float)
        n = data.shape[1]
        predicted = (cost.update(n, rows.shape[0], rows.nnz) + cost.copied(n)) / cost.anew(
            n, float(lengths @ lengths) / 2
        )
        error = apart(kind, kind.without(state, Deletion(data, removal)), kind.state(rest))
        goal = 0.3 if name == "most active" else 0.2
        lines.append(
            [
                f"{name}, {removal.count:,}",
                f"{found['fit']:.2f}",
                f"{found['step']:.2f}",
                f"{found['step'] / found['fit']:.2f}",
                goal,
                f"{predicted:.2f}",
                f"{error:.1e}",
            ]
        )
    print("### EASE: 5 % of the users at once\n")
    table(
        [
            "who, interactions",
            "fit",
            "step",
            "ratio",
            "goal at most",
            "predicted",
            "error in B, goal 1e-11",
        ],
        lines,
    )


def _requests(data: Interactions, requests: int) -> None:
    """Users one after another in a warm process, in the order of chance."""
    lines = []
    for kind in (EASE(), EASE(dropout=0.3)):
        state = kind.state(data, threads=1)
        session = kind.held(state, data, threads=1)
        x, order = inverse.cells(data), np.random.default_rng(SEED).permutation(data.shape[0])
        count = min(requests if not kind.dropout else requests // 10, data.shape[0] // 2)
        gone = np.zeros(data.shape[0], bool)

        def rest(gone: Array = gone) -> Interactions:
            return data.keep(~gone[data.user_rows])

        times = []
        for user in order[:count].tolist():
            gone[user] = True
            _, seconds, _ = clocked(partial(_leaves, session, x, user, rest))
            times.append(1000 * seconds)
        error = apart(kind, session.state, kind.state(rest()))
        p50, p99 = np.percentile(times, [50, 99])
        lines.append(
            [
                f"dropout {kind.dropout:g}",
                count,
                f"{p50:.1f}",
                f"{p99:.1f}",
                f"{max(times):.1f}",
                f"{session.drift:.1e}",
                session.refreshes,
                f"{error:.1e}",
            ]
        )
    print(
        "### EASE: users one by one in a warm process, CPU milliseconds (goals without dropout: "
        "30 and 100)\n"
    )
    table(
        [
            "",
            "users",
            "p50",
            "p99",
            "longest",
            "drift, goal 1e-10",
            "times made anew",
            "error in B",
        ],
        lines,
    )


def _leaves(session: Held, x: Any, user: int, rest: Callable[[], Interactions]) -> None:
    session.change(x[[user]], x[[user]][:0], rest)


def _memory(items: int) -> None:
    """Peak memory of a fit, of a change in place and of one beside the old state, over a
    triangle.
    """
    lines = []
    for dtype in ("float32", "float64"):
        peak = fresh(peaks, str(items), dtype, OPENBLAS_NUM_THREADS="1")
        lines.append(
            [
                f"{items:,}, {dtype}",
                *(f"{peak[name]:.2f}" for name in ("fit", "in place", "beside")),
            ]
        )
    print("### EASE: peak memory beyond the data, in triangles (goal of a fit and in place: 1.1)\n")
    table(["items", "fit", "300 users in place", "300 users beside the old one"], lines)


def peaks(items: str, dtype: str) -> dict[str, float]:
    """{``fit``, ``in place``, ``beside``}: peaks of this process in triangles; generated data."""
    n = int(items)
    data = _generated(2000, n, 40)
    kind = EASE.model_validate({"dtype": dtype})
    small = _generated(300, 100, 10)
    whole = small.keep(small.user_rows >= 9)
    warm = kind.held(kind.state(small), small)  # libraries and kernels are there before it counts
    for users in (np.arange(1), np.arange(1, 9)):
        warm.change(inverse.cells(small)[users], inverse.cells(small)[:0], lambda: whole)
    rows, none = inverse.cells(data)[:300], inverse.cells(data)[:0]
    removal = without(data, np.arange(300))
    unit, found = cost.triangle(n, np.dtype(dtype).itemsize), {}

    def measured(name: str, run: Callable[[], Any], beside: int) -> Any:
        forget_peak()
        before = memory("VmRSS")
        value = run()
        found[name] = beside + (memory("VmHWM") - before) / unit
        return value

    state = measured("fit", lambda: kind.state(data), 0)
    measured("beside", lambda: kind.without(state, Deletion(data, removal)), 1)
    held = kind.held(state, data)
    measured("in place", lambda: held.change(rows, none, lambda: removal.remaining), 1)
    return found


def _knn(data: Interactions, repeats: int) -> None:
    """item-kNN against implicit's recommenders of the same definitions."""
    if find_spec("implicit") is None:
        print(
            "item-kNN is measured against implicit, which is not installed: pip install implicit\n"
        )
        return
    import implicit.nearest_neighbours as theirs
    from scipy.sparse import csr_matrix

    matrix = csr_matrix((inverse.values_of(data), data.indices, data.indptr), shape=data.shape)
    lines = []
    for name, other in (
        ("cosine", "CosineRecommender"),
        ("tfidf", "TFIDFRecommender"),
        ("bm25", "BM25Recommender"),
    ):
        kind = KINDS["item-knn"].model_validate({"similarity": name})
        found = interleaved(
            {
                "ours": partial(kind.state, data),
                "theirs": partial(
                    _quietly, partial(getattr(theirs, other)(K=20).fit, matrix, show_progress=False)
                ),
            },
            repeats,
        )
        lines.append(
            [
                name,
                f"{found['ours']:.2f}",
                f"{found['theirs']:.2f}",
                f"{found['ours'] / found['theirs']:.2f}",
            ]
        )
    print("### item-kNN: fit, K = 20, against implicit (goal at most: 0.7)\n")
    table(["similarity", "ours", "implicit", "ratio"], lines)


def _quietly(run: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run()


def tried() -> list[tuple[str, ExactKind]]:
    """Kinds of users and items as they come, each with a name."""
    made: list[tuple[str, dict[str, Any]]] = [
        ("popularity", {}),
        ("item-knn", {"similarity": "cosine"}),
        ("item-knn", {"similarity": "jaccard"}),
        ("item-knn", {"similarity": "tfidf"}),
        ("item-knn", {"similarity": "bm25"}),
        ("user-knn", {}),
        ("cooccurrence", {}),
        ("ease", {}),
        ("ease", {"dropout": 0.3}),
    ]
    return [
        (
            " ".join([kind, *(f"{value}" for value in given.values())]),
            KINDS[kind].model_validate(given),
        )
        for kind, given in made
        if kind in KINDS
    ]


def _kinds(data: Interactions) -> None:
    """One user and shares of them at random, as ``forget`` takes them, over a fit of what
    remains.
    """
    print(
        "### Every kind: random users at once, over fitting anew; the error is that of the worst "
        "column\n"
    )
    table(COLUMNS, [_shares_of(name, kind, data) for name, kind in tried()])


def _events() -> None:
    """The same of kinds of sessions and baskets, on generated ones."""
    made = {
        "sessions": Interactions.read(
            generate_sessions(users=20_000, items=2_000),
            session_column="session_id",
            timestamp_column="timestamp",
        ),
        "baskets": Interactions.read(
            generate_baskets(users=5_000, items=2_000),
            basket_column="basket_id",
            timestamp_column="timestamp",
        ),
    }
    print("### Kinds of sessions and baskets, generated: as above\n")
    for name, data in made.items():
        print(f"{data.count:,} events of {name}, {data.shape[0]:,} users, {data.shape[1]:,} items")
    print()
    table(
        COLUMNS,
        [
            _shares_of(" ".join([name, *map(str, given.values())]), KINDS[name](**given), made[of])
            for name, of, given in EVENTS
        ],
    )


def _shares_of(name: str, kind: ExactKind, data: Interactions) -> list[object]:
    """A line of the table: what one user and shares of them cost."""
    state = kind.state(data)
    whole = np.median([clocked(partial(kind.state, data))[1] for _ in range(3)])
    cells: list[object] = []
    worst = 0.0
    for share in (0.0, *SHARES):
        removal = without(data, groups(data, share)["random"])
        new, seconds, _ = clocked(partial(kind.without, state, Deletion(data, removal)))
        cells.append(f"{seconds / whole:.2f}" if whole > 0.01 else f"{1000 * seconds:.1f} ms")
        worst = max(worst, apart(kind, new, kind.state(removal.remaining)))
    return [name, f"{whole:.3f}", *cells, f"{worst:.1e}" if worst else "0"]


def _generated(users: int, items: int, length: int) -> Interactions:
    """``users`` with about ``length`` interactions each, of ``items`` whose popularity falls as a
    power law.
    """
    rng = np.random.default_rng(users)
    u = np.repeat(np.arange(users), rng.poisson(length, users) + 1)
    v = np.minimum((items * rng.random(u.size) ** 2).astype(np.int64), items - 1)
    # nothing is empty
    u, v = np.concatenate([u, np.zeros(items, np.int64)]), np.concatenate([v, np.arange(items)])
    keys = np.unique(u * items + v)
    import pyarrow as pa

    return Interactions.from_table(pa.table({"user_id": keys // items, "item_id": keys % items}))


def split(
    data: Interactions, *, least: int = 5, share: float = 0.8
) -> tuple[Interactions, Interactions]:
    """CURE4Rec's kind of split: users and items with ``least`` interactions, and of each user a
    share to train on.
    """
    data = data.k_core(least).compact()
    order = np.lexsort((np.random.default_rng(SEED).random(len(data)), data.user_rows))
    place = np.empty(len(data), np.int64)
    place[order] = np.arange(len(data)) - np.repeat(data.indptr[:-1], data.user_counts)
    train = place < np.floor(share * data.user_counts)[data.user_rows]
    return data.keep(train), data.keep(~train)


def scores_of_lists(lists: Array, test: Interactions, k: int) -> dict[str, float]:
    """Means over users who have something to find.

    ``ndcg``: CURE4Rec's, Σ_{hits at rank r ≤ k} 1/log₂(r + 1) over the same of all |T_u| test items
    at the top, also where |T_u| > k; ``ndcg_usual``: over min(k, |T_u|) of them; ``hr``: |hits| /
    |T_u|.
    """
    users = np.flatnonzero(test.user_counts)
    if not users.size:
        raise InvalidInput("there is nothing to test on")
    found = np.zeros(lists.shape, bool)
    for user in users.tolist():
        found[user] = np.isin(lists[user], test.indices[test.indptr[user] : test.indptr[user + 1]])
    gains = found[users, :k] @ (1.0 / np.log2(np.arange(2, min(k, lists.shape[1]) + 2)))
    counts = test.user_counts[users]
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, int(counts.max()) + 2)))])
    return {
        "ndcg": float((gains / ideal[counts]).mean()),
        "ndcg_usual": float((gains / ideal[np.minimum(counts, k)]).mean()),
        "hr": float((found[users, :k].sum(1) / counts).mean()),
    }


def _accuracy(data: Interactions) -> None:
    """Lists of 20 on a split as CURE4Rec makes it, before and after 5 % of the users are
    forgotten.
    """
    train, test = split(data)
    lines = []
    for kind in (EASE(), EASE(dropout=0.3)):
        model = kind.fit(train)
        everybody = np.arange(train.shape[0])
        cells = [scores_of_lists(model.top_items(everybody, k=20, seen=train)[0], test, 20)]
        for users in groups(train, 0.05).values():
            removal = without(train, users)
            state = kind.without(model.state, Deletion(train, removal))
            rest = test.keep(~np.isin(test.user_rows, users))
            lists = _model(kind, state, removal.remaining).top_items(
                everybody, k=20, seen=removal.remaining
            )[0]
            cells.append(scores_of_lists(lists, rest, 20))
        for name, found in zip(
            ("trained", "without most active", "least active", "random"), cells, strict=True
        ):
            lines.append(
                [
                    f"{kind.dropout:g}",
                    name,
                    *(f"{found[x]:.3f}" for x in ("ndcg", "ndcg_usual", "hr")),
                ]
            )
    print(
        f"### EASE: accuracy, {len(train):,} interactions of {train.shape[0]:,} × "
        f"{train.shape[1]:,} (goal: 0.30)\n"
    )
    table(
        ["dropout", "", "NDCG@20, all test items ideal", "NDCG@20, min(20, n) ideal", "HR@20"],
        lines,
    )


def _beside(name: str, data: Interactions) -> None:
    """What exact forgetting costs in accuracy: kinds as they come beside ENMF as tuned for these
    data.
    """
    from alteraser import ENMF
    from alteraser.bench.paper.hyperparameters import load_hyperparameters
    from alteraser.metrics.accuracy import accuracy

    train, test = data.split(0.2, seed=SEED)
    file = load_hyperparameters(None)
    tuned: dict[str, Any] = {}
    if name in file.enmf:
        entry = file.enmf[name]
        tuned = {
            "factors": entry.factors,
            "missing_weight": entry.missing_weight,
            "regularization": entry.regularization,
        }
    settings: list[tuple[str, Any]] = [("ENMF, tuned" if tuned else "ENMF", ENMF(**tuned))]
    settings += [
        (label, kind) for label, kind in tried() if "jaccard" not in label and "tfidf" not in label
    ]
    settings += [(f"ease, λ = {weight}", EASE(regularization=weight)) for weight in (50, 200)]
    lines = []
    for label, kind in settings:
        model, seconds, _ = clocked(partial(kind.fit, train))
        lists = model.top_items(np.arange(train.shape[0]), k=50, seen=train)[0]
        found = accuracy(lists, test.indptr, test.indices, (10, 20, 50))
        lines.append(
            [
                label,
                *(f"{found[key]:.4f}" for key in ("ndcg@10", "recall@20", "recall@50")),
                f"{seconds:.2f}",
            ]
        )
    print("### Accuracy beside ENMF: 20 % of the interactions held out at random\n")
    table(["model", "NDCG@10", "Recall@20", "Recall@50", "training, CPU s"], lines)


def _model(kind: ExactKind, state: Any, data: Interactions) -> Any:
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.models.protocol import TrainedOn

    return ExactModel(
        kind, state, users=data.users, items=data.items, trained_on=TrainedOn.of(data)
    )
