"""The loops themselves, to the byte, through Python: what ``golden.py`` does not reach from the
command line.

    python tools/golden_loops.py write before.json     # and ``after.json`` on the other commit
    python tools/golden.py compare before.json after.json

Runs of the driver under every combination of its settings, watched and capped; passes on losses
that are not quadratic; passes in place, filtered and RecBole's; a session; with PyTorch also
epochs, Newton on the whole model, losses of one's own and neural models. Of each: the factors'
digest, the trace, and how it ended.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.erasers import (
    AltEraser,
    FirstOrder,
    GlobalNewton,
    Influence,
    Local,
    Retrain,
    Settings,
    Shift,
    run_passes,
)
from alteraser.errors import AltEraserError
from alteraser.models import Factors, Objective, Problem

OBJECTIVES = {
    "uniform": Objective(missing_weight=0.3, regularization=0.7),
    "light": Objective(missing_weight=0.1, regularization=0.02),
    "popularity": Objective(missing_weight=0.2, regularization=0.5, missing_weighting="popularity"),
    "outweighed": Objective(missing_weight=0.3, regularization=60.0),
}
TIMES = ("seconds", "predicted")


def said(value: Any) -> Any:
    """A result as JSON: arrays by their digest, floats to the bit, no times."""
    if isinstance(value, np.ndarray):
        return (
            f"{value.shape} {value.dtype} "
            f"{hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]}"
        )
    if isinstance(value, float | np.floating):
        return float(value).hex()
    if is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in fields(value) if f.name not in TIMES]
        return {name: said(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): said(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [said(entry) for entry in value]
    return value if isinstance(value, bool | int | str | None) else repr(type(value))


def ran(*given: Any, **named: Any) -> Any:
    """``run_passes``, or the error that it ends with."""
    try:
        return run_passes(*given, **named)
    except AltEraserError as error:
        return str(error)


def interactions(
    m: int = 60, n: int = 40, *, seed: int = 0, weighted: bool = False
) -> Interactions:
    """Three tastes, and noise."""
    rng = np.random.default_rng(seed)
    likes = (np.arange(m)[:, None] + np.arange(n)) % 3 == 0
    u, v = np.nonzero(rng.random((m, n)) < np.where(likes, 0.5, 0.06))
    ids = [IdMap.build(np.arange(size))[0] for size in (m, n)]
    confidence = 2.0 * np.exp(rng.standard_normal(u.size)) if weighted else None
    return Interactions._assemble(*ids, u, v, confidence, None, None, "refuse")


def halves(
    data: Interactions, every: int = 17
) -> tuple[Interactions, tuple[np.ndarray, np.ndarray]]:
    """What remains of ``data``, and the rows of what does not."""
    gone = np.arange(len(data)) % every == 0
    removed = data.keep(gone)
    return data.keep(~gone), (Shift.rows(removed.user_rows), Shift.rows(removed.indices))


def driver() -> Iterator[tuple[str, Any]]:
    """``run_passes`` from random and trained starts."""
    from alteraser.solvers import AHNewton, ConjugateGradient, JointNewton
    from alteraser.solvers.limits import Limits

    solvers = {
        "exact": AHNewton(),
        "cg": ConjugateGradient(3),
        "joint": JointNewton(),
        "newton": JointNewton(memory=0),
        "eager": JointNewton(near=1e9),
        "plain": JointNewton(weak=0),
    }
    for (name, objective), dtype in itertools.product(OBJECTIVES.items(), (np.float32, np.float64)):
        data = interactions(weighted=name == "light")
        rest, touched = halves(data)
        before, after = Problem(objective, data, dtype), Problem(objective, rest, dtype)
        random = Factors.random(*data.shape, 5, seed=2, dtype=dtype)
        original = run_passes(before, random, Settings(JointNewton(), 1e-6, 400)).factors
        for key, solver in solvers.items():
            for label, more in {
                "loose": {"tolerance": 1e-2},
                "tight": {"tolerance": 1e-12, "max_passes": 60},
                "unaided": {"tolerance": 1e-5, "memory": 0, "max_passes": 80},
                "confirmed": {"tolerance": 1e-4, "confirm": True},
                "limits": {"tolerance": 1e-3, "limits": Limits()},
                "three": {"tolerance": 1e-9, "max_passes": 3, "limits": Limits()},
                "none": {"tolerance": 1e-3, "max_passes": 0},
                "prediction": {"tolerance": 1e-3, "train_prediction": True, "max_passes": 25},
            }.items():
                settings = Settings(solver, **({"max_passes": 300} | more))
                yield (
                    f"driver/{name}/{dtype.__name__}/{key}/{label}/random",
                    ran(before, random, settings),
                )
                warm = {"scale": 3.0, "touched": touched, "origin": original}
                yield (
                    f"driver/{name}/{dtype.__name__}/{key}/{label}/warm",
                    ran(after, original, settings, **warm),
                )
            seen: list[Any] = []

            def watch(number: int, factors: Any, seen: list[Any] = seen) -> bool:
                seen.append((number, said(factors())))
                return number >= 7

            settings = Settings(solver, 1e-9, 100, limits=Limits())
            for start, more in ((random, {}), (original, {"origin": original, "touched": touched})):
                yield (
                    f"driver/{name}/{dtype.__name__}/{key}/watched/{len(more)}",
                    [ran(after, start, settings, watch=watch, **more), list(seen)],
                )
    saddle = Factors.random(*data.shape, 5, seed=3, dtype=np.float64)
    saddle.users[:, 2:] *= 1e-7
    saddle.items[:, 2:] *= 1e-7
    problem = Problem(OBJECTIVES["uniform"], interactions(seed=4), np.float64)
    for key, solver in solvers.items():
        for confirm, limits in itertools.product((False, True), (None, Limits())):
            settings = Settings(solver, 1e-4, 400, confirm=confirm, limits=limits)
            yield f"driver/saddle/{key}/{confirm}/{limits is None}", ran(problem, saddle, settings)


def erasers() -> Iterator[tuple[str, Any]]:
    """Erasers on a trained original."""
    for name, objective in OBJECTIVES.items():
        data = interactions(seed=5)
        rest, touched = halves(data)
        before, after = Problem(objective, data, np.float64), Problem(objective, rest, np.float64)
        original = run_passes(
            before,
            Factors.random(*data.shape, 4, seed=1, dtype=np.float64),
            Settings(_exact(), 1e-7, 40),
        ).factors
        task = Shift(original, before, after, *touched, 1)
        methods: dict[str, Any] = {
            "converge": AltEraser(),
            "paper": AltEraser(solver="ah-newton", memory=0, limits=None),
            "finish": AltEraser(solver="cg", finish=True),
            "capped": AltEraser(max_passes=2),
            "local": Local(),
            "retrain": Retrain(),
            "influence": Influence(),
        }
        if find_spec("torch"):
            methods |= {
                "adamw": FirstOrder(max_passes=12, batch_users=16),
                "sgd": FirstOrder(optimizer="sgd", start="random"),
                "global": GlobalNewton(max_passes=3),
                "global none": GlobalNewton(max_passes=0),
            }
        for key, method in methods.items():
            yield f"erasers/{name}/{key}", method.erase(task)


def _exact() -> Any:
    from alteraser.solvers import AHNewton

    return AHNewton()


def rows() -> Iterator[tuple[str, Any]]:
    """Passes where rows are not quadratic."""
    from alteraser.erasers.alternating import alternate, row_push
    from alteraser.erasers.response import respond
    from alteraser.models.factorization.biased import BiasedFactors
    from alteraser.models.factorization.rowloss import Logistic, Pairwise, Ridge, Squares
    from alteraser.models.factorization.terms import RowProblem

    ridge = Ridge.of(0.1, scaling="samples")
    cases = {
        "svd": (Squares(ridge=ridge), "ratings", True),
        "logistic": (Logistic(ridge=Ridge.of(0.2)), "signs", True),
        "lmf": (Logistic(ridge=Ridge.of(0.2), negatives=4, most=5, weighted=True), "ratings", True),
        "bpr": (Pairwise(ridge=ridge, popular=True), "ones", False),
    }
    for name, (loss, what, biased) in cases.items():
        rng = np.random.default_rng(1)
        data = interactions(30, 20, seed=3)
        target = {
            "ratings": rng.integers(1, 6, len(data)).astype(float),
            "signs": rng.choice([-1.0, 1.0], len(data)),
        }
        data = replace(data, target=target.get(what))
        rest, touched = halves(data)
        m, n = data.shape
        start = BiasedFactors(
            rng.standard_normal((m, 3)),
            rng.standard_normal((n, 3)),
            rng.standard_normal(m) if biased else None,
            rng.standard_normal(n),
        )
        before, after = (RowProblem(loss, each, start.layout) for each in (data, rest))
        trained = alternate(before, start, scale=1.0, tolerance=1e-3, max_passes=30)
        yield f"rows/{name}/train", trained
        push = row_push(before, after, trained.factors)
        yield f"rows/{name}/push", push
        for memory, steps, cap in itertools.product((0, 6), (1, 3), (0, 1, 40)):
            found = alternate(
                after,
                trained.factors,
                scale=push.norm,
                tolerance=1e-3,
                max_passes=cap,
                memory=memory,
                steps=steps,
                touched=touched,
            )
            yield f"rows/{name}/{memory}/{steps}/{cap}", found
        for stopped, passes, shares in itertools.product((None, 5.0), (0, 3), (False, True)):
            found = respond(
                before,
                after,
                trained.factors,
                steps=stopped,
                passes=passes,
                touched=touched,
                shares=shares,
                threads=1,
            )
            yield f"rows/{name}/respond/{stopped}/{passes}/{shares}", found
        alone = respond(
            before,
            after,
            trained.factors,
            steps=None,
            passes=2,
            touched=touched,
            users=(before, after),
            threads=1,
        )
        yield f"rows/{name}/respond/users", alone


def anchored() -> Iterator[tuple[str, Any]]:
    """Filtered passes, and passes in place."""
    from alteraser.erasers.anchored_rows import Trainer
    from alteraser.erasers.filtered import anchored_residual, forget_filtered
    from alteraser.erasers.in_place import forget_in_place
    from alteraser.solvers import ConjugateGradient
    from alteraser.solvers.rows.protocol import padded

    for spread, dtype, seed in itertools.product((False, True), (np.float32, np.float64), (0, 1)):
        data = interactions(seed=seed, weighted=spread)
        if spread:
            data = replace(data, confidence=data.confidence**3)  # type: ignore[operator]
        rest, touched = halves(data, 11 if seed else 400)
        before, after = (Problem(OBJECTIVES["uniform"], each, dtype) for each in (data, rest))
        start = Factors.random(*data.shape, 4, seed=seed, dtype=dtype)
        P, Q = padded(start.users), padded(start.items)
        for _ in range(6):
            ConjugateGradient(3).solve(before.users, Q, P, None, rank=4, threads=1)
            ConjugateGradient(3).solve(before.items, P, Q, None, rank=4, threads=1)
        pair = P[:, :4].copy(), Q[:, :4].copy()
        label = f"{spread}/{dtype.__name__}/{seed}"
        for last, exact, cap, tolerance in itertools.product(
            ("user", "item"), (False, True), (0, 1, 15), (1e-3, 0.3)
        ):
            new = padded(pair[0]), padded(pair[1])
            found = forget_filtered(
                before,
                after,
                pair,
                *new,
                touched=touched,
                trainer=Trainer(last=last, exact=last if exact else None),
                tolerance=tolerance,
                max_passes=cap,
                threads=1,
            )
            left = anchored_residual(
                before, after, pair, (new[0][:, :4], new[1][:, :4]), touched=touched, threads=1
            )
            yield (
                f"filtered/{label}/{last}/{exact}/{cap}/{tolerance}",
                [found, new[0], new[1], left],
            )
            new = padded(pair[0]), padded(pair[1])
            found = forget_in_place(
                before,
                after,
                *new,
                rank=4,
                touched=touched,
                tolerance=tolerance,
                max_passes=cap * 10,
                last=last,
                threads=1,
            )
            yield f"in place/{label}/{last}/{exact}/{cap}/{tolerance}", [found, new[0], new[1]]


def recbole() -> Iterator[tuple[str, Any]]:
    """RecBole's ENMF."""
    from alteraser.adapters import ForeignErasing, ForeignOptions
    from alteraser.adapters.recbole import ADAPTER
    from alteraser.data.deletion import Deletion

    folder = Path(__file__).parents[1] / "tests" / "adapters" / "fixtures" / "recbole"
    model = ADAPTER.read(folder / "ENMF.pth", ForeignOptions(users_map=folder / "toy.inter"))
    data = Interactions.read(folder / "train.csv", users=model.user_ids, items=model.item_ids)
    for every, tolerance, cap in itertools.product((7, 50), (1e-2, 1e-5), (0, 3, 150)):
        gone = np.arange(len(data)) % every == 0
        erasing = ForeignErasing(
            model,
            Deletion(data, data.remove(data.keep(gone))),
            tolerance=tolerance,
            max_passes=cap,
        )
        yield f"recbole/{every}/{tolerance}/{cap}/forget", model.loss.forget(erasing)
        yield f"recbole/{every}/{tolerance}/{cap}/local", model.loss.local(erasing)


def session() -> Iterator[tuple[str, Any]]:
    """Requests, rows by their residual, and through to the optimum."""
    import alteraser as ae
    from alteraser.engines.session import Stream

    data = interactions(50, 36, seed=7)
    for kind, limits in itertools.product(("none", "popularity"), (False, True)):
        more: dict[str, Any] = {"missing_weighting": kind} if kind != "none" else {}
        model = ae.ENMF(
            factors=3, missing_weight=0.2, regularization=0.25, tolerance=1e-8, **more
        ).fit(data)
        stream = (
            Stream(model, data, threads=1)
            if limits
            else Stream(model, data, threads=1, limits=None)
        )
        table = data.to_table()
        for every, relaxed in ((60, 1e-1), (25, 1e-3), (9, None)):
            pairs = table.take(np.arange(0, len(table), every))
            label = f"session/{kind}/{limits}/{every}"
            done = stream.forget(
                list(zip(pairs["user_id"].to_pylist(), pairs["item_id"].to_pylist(), strict=True))
            )
            yield (
                f"{label}/forget",
                [done.users, done.items, done.push, done.products, stream.residual_bound],
            )
            if relaxed:
                yield f"{label}/relax", [stream.relax(relaxed), stream.residual_bound]
            yield f"{label}/polish", stream.polish()
            table = stream.remaining().to_table()


def torches() -> Iterator[tuple[str, Any]]:
    """Losses that PyTorch differentiates."""
    import torch

    from alteraser.autograd.own_loss import forget
    from alteraser.neural import KINDS, Alternating, Loss
    from alteraser.neural.alternation import erase

    torch.set_num_threads(1)
    data = interactions(24, 18, seed=2)

    class Pairs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.P = torch.nn.Embedding(24, 3, dtype=torch.float64)
            self.Q = torch.nn.Embedding(18, 3, dtype=torch.float64)

    def loss(module: Any, u: Any, v: Any) -> Any:
        P, Q = module.P.weight, module.Q.weight
        return torch.nn.functional.softplus(-(P[u] * Q[v]).sum(1)).sum() + 0.2 * (
            P.square().sum() + Q.square().sum()
        )

    pairs = data.to_table().slice(3, 5)
    for tolerance, cap in ((1e-2, 500), (1e-6, 500), (1e-6, 9), (1e-6, 5)):
        done = forget(
            Pairs(),
            data,
            pairs,
            loss=loss,
            users="P",
            items="Q",
            tolerance=tolerance,
            max_evaluations=cap,
        )
        tables = [done.model.P.weight.detach().numpy(), done.model.Q.weight.detach().numpy()]
        said = [done.residual, done.converged, done.work.training_floor, done.work.objective_after]
        yield f"own/{tolerance}/{cap}", [*said, *tables]
    removal = data.remove(pairs)
    draws = Loss(negatives=3, draws=4, close_draws=8, regularization=0.5, phi_regularization=0.5)
    for kind, (passes, own) in itertools.product(KINDS, ((0, True), (2, True), (1, False))):
        module = KINDS[kind](24, 18, 4, seed=3).double()
        steps: list[Any] = []
        how = Alternating(passes=passes, anchored=own, phi=passes == 2)
        done = erase(module, data, removal, draws, how, on_step=steps.append)
        parameters = {name: value.detach().numpy() for name, value in module.state_dict().items()}
        yield f"neural/{kind}/{passes}/{own}", [done, steps, parameters]


def main(arguments: list[str]) -> int:
    """``write FILE [NAME …]``, of some groups of runs or of all."""
    groups = [driver, erasers, rows, anchored, recbole, session] + (
        [torches] if find_spec("torch") else []
    )
    if len(arguments) < 2 or arguments[0] != "write":
        print(__doc__)
        return 2
    chosen = [group for group in groups if not arguments[2:] or group.__name__ in arguments[2:]]
    found = {name: said(value) for group in chosen for name, value in group()}
    Path(arguments[1]).write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(f"{arguments[1]}: {len(found)} observations")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
