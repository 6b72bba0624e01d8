"""A pass of ours against an iteration of implicit (Frederickson), the same data, factors and
confidences.

implicit's loss has c = alpha on observed cells and 1 elsewhere; ours divided by alpha has c = 1 and
w0 = 1/alpha.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from alteraser.bench.common import Sets, each, interleaved, load, table
from alteraser.models import Factors, Objective, Problem
from alteraser.runtime.extras import require
from alteraser.runtime.workers import Array, default_threads
from alteraser.solvers import AHNewton, ConjugateGradient
from alteraser.solvers.rows.protocol import RowSolver, padded

ALPHA, LAMBDA = 2.0, 30.0


def kernels(sets: Sets = None) -> int:
    """CPU ratios of a pass for d = 64 and 128, and of the rows of 64 users alone, against implicit.

    Example: alteraser bench kernels ml-1m
    """
    require("implicit", "bench", "bench kernels")
    for folder in each(sets):
        with threadpool_limits(1):  # as either library asks for
            _run(folder)
    return 0


def _run(folder: str | None) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    name, whole = load(folder)
    data = whole.split(0.2, seed=0)[0]
    objective = Objective(missing_weight=1 / ALPHA, regularization=LAMBDA / ALPHA)
    problem = Problem(objective, data)
    threads = default_threads()
    matrix = csr_matrix(
        (np.full(len(data), ALPHA, np.float32), data.indices, data.indptr), shape=data.shape
    )
    transposed = matrix.T.tocsr()
    print(f"### Kernels: {name}, {len(data):,} interactions, {threads} threads, CPU seconds\n")
    rows: list[tuple[object, ...]] = []
    few: tuple[object, ...] = ()
    for d in (64, 128):
        theta = Factors.random(*data.shape, d, seed=0)
        theirs = {}
        for cg in (True, False):
            als = AlternatingLeastSquares(
                factors=d, regularization=LAMBDA, alpha=1.0, use_cg=cg, num_threads=threads
            )
            als.user_factors, als.item_factors = theta.users.copy(), theta.items.copy()
            theirs[cg] = als

        def iteration(als: Any) -> None:
            solve = als.solver
            solve(
                matrix, als.user_factors, als.item_factors, als.regularization, num_threads=threads
            )
            solve(
                transposed,
                als.item_factors,
                als.user_factors,
                als.regularization,
                num_threads=threads,
            )

        def sweep(solver: RowSolver, P: Array, Q: Array, rank: int = d) -> None:
            solver.solve(problem.users, Q, P, None, rank=rank, threads=threads)
            solver.solve(problem.items, P, Q, None, rank=rank, threads=threads)

        state = {s: (padded(theta.users), padded(theta.items)) for s in ("cg", "exact")}
        seconds = interleaved(
            {
                "our CG": partial(sweep, ConjugateGradient(), *state["cg"]),
                "their CG": partial(iteration, theirs[True]),
                "our exact": partial(sweep, AHNewton(), *state["exact"]),
                "their exact": partial(iteration, theirs[False]),
            }
        )
        for kind, goal in (("CG", 1.0 if d == 64 else 0.9), ("exact", 0.2)):
            ours, peer = seconds[f"our {kind}"], seconds[f"their {kind}"]
            rows.append(
                (f"{kind} pass, d = {d}", f"{ours:.3f}", f"{peer:.3f}", f"{ours / peer:.2f}", goal)
            )
        if d == 64:
            few = few_users(problem, theta, theirs[False], matrix, threads)
    table(("work", "ours", "implicit", "ratio", "goal at most"), [*rows, few])


def few_users(
    problem: Problem, theta: Factors, als: Any, matrix: Any, threads: int
) -> tuple[object, ...]:
    """The rows of 64 users alone, the other side's Gram matrix included on both sides."""
    users = np.sort(np.random.default_rng(0).choice(problem.users.rows, 64, replace=False))
    Q, P = padded(theta.items), padded(theta.users)
    theirs = matrix[users]

    def recalculate() -> None:
        als._YtY = None
        als.recalculate_user(users, theirs)

    seconds = interleaved(
        {
            "ours": lambda: AHNewton().solve(
                problem.users, Q, P, users, rank=theta.rank, threads=threads
            ),
            "theirs": recalculate,
        },
        repeats=15,
    )
    ratio = seconds["ours"] / seconds["theirs"]
    return (
        "rows of 64 users, d = 64",
        f"{seconds['ours']:.4f}",
        f"{seconds['theirs']:.4f}",
        f"{ratio:.2f}",
        0.5,
    )
