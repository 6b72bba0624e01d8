"""The methods of the paper, its ablations and ours, as one table: a name, a label, how to build the
eraser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from alteraser.bench.paper.effect import AnchoredPasses, TwoRuns
from alteraser.bench.paper.hyperparameters import HyperParameters, Kind
from alteraser.erasers import AltEraser, Eraser, FirstOrder, GlobalNewton, Influence, Retrain
from alteraser.errors import InvalidInput
from alteraser.solvers import Solver, strategy
from alteraser.solvers.rows.differentiated import Differentiated
from alteraser.solvers.rows.first_order import FirstOrderRows

Group = Literal["main", "local", "joint", "first-order", "ablation", "influence", "solvers"]
GROUPS: tuple[Group, ...] = (
    "main",
    "local",
    "joint",
    "first-order",
    "ablation",
    "influence",
    "solvers",
)


@dataclass(frozen=True)
class PaperMethod:
    """One way to get a model without the forget set."""

    name: str
    label: str
    group: Group
    build: Callable[[HyperParameters, int], Eraser]
    """(hyper-parameters, run) → eraser"""
    early: bool = False
    """Ends by early stopping, and returns the model that scored best."""
    timed: bool = True
    """Untimed cells may share the processors with others; their seconds are not reported."""
    kinds: tuple[Kind, ...] = ("enmf", "gmf")
    double: bool = False
    """Works in float64 (the reference)."""


def _first_order(**more: Any) -> Callable[[HyperParameters, int], Eraser]:
    def build(hyper: HyperParameters, run: int) -> Eraser:
        settings: dict[str, Any] = {
            "learning_rate": hyper.learning_rate,
            "batch_users": hyper.batch_users,
            "max_passes": hyper.max_epochs,
            # one initialization per run, shared by Original, Retrain and Retrain*; the training
            # seed tells them apart
            "initial_seed": 1000 + run,
            **more,
            "seed": 10 * run + more.get("seed", 1),
        }
        return FirstOrder(**settings)

    return build


def _alternating(solver: Solver, **more: Any) -> Callable[[HyperParameters, int], Eraser]:
    def build(hyper: HyperParameters, run: int) -> Eraser:
        settings: dict[str, Any] = {
            "memory": 0,
            "tolerance": 0.0,
            "max_passes": hyper.passes,
            **more,
        }
        return AltEraser(solver=strategy(solver), **settings)

    return build


def _cold(solver: str) -> Callable[[HyperParameters, int], Eraser]:
    return lambda hyper, run: Retrain(
        solver=strategy(solver), memory=0, tolerance=0.0, max_passes=hyper.passes, seed=1000 + run
    )


SOLVER_LIST = (
    "ah-newton",
    "hf-newton",
    "gauss-newton",
    "newton-cg",
    "trust-ncg",
    "trust-krylov",
    "bfgs",
    "l-bfgs",
    "nonlinear-cg",
    "adahessian",
    "adamw",
)

METHODS: dict[str, PaperMethod] = {
    method.name: method
    for method in (
        PaperMethod(
            "original",
            "Original",
            "main",
            _first_order(start="random", seed=1),
            early=True,
            timed=False,
        ),
        PaperMethod(
            "retrain", "Retrain (AdamW)", "main", _first_order(start="random", seed=1), early=True
        ),
        PaperMethod(
            "retrain-star",
            "Retrain*, other training seed",
            "main",
            _first_order(start="random", seed=2),
            early=True,
            timed=False,
        ),
        PaperMethod(
            "converged",
            "converged retrain (reference)",
            "main",
            lambda hyper, run: Retrain(tolerance=1e-4, max_passes=1500, seed=5000 + run),
            timed=False,
            kinds=("enmf",),
            double=True,
        ),
        PaperMethod(
            "warm-start",
            "Warm-Start (AdamW)",
            "main",
            _first_order(start="original", seed=3),
            early=True,
        ),
        PaperMethod("alteraser-adamw", "AltEraser [AdamW]", "main", _alternating("adamw")),
        PaperMethod(
            "alteraser-hf-newton", "AltEraser [HF-Newton]", "main", _alternating("hf-newton")
        ),
        PaperMethod(
            "alteraser-ah-newton",
            "AltEraser [AH-Newton]",
            "main",
            _alternating("ah-newton"),
            kinds=("enmf",),
        ),
        PaperMethod(
            "alteraser-ah-newton-20",
            "AltEraser [AH-Newton], 20 passes",
            "main",
            _alternating("ah-newton", max_passes=20),
            kinds=("enmf",),
        ),
        PaperMethod(
            "alteraser-local",
            "AltEraser [AH-Newton, local]",
            "main",
            lambda hyper, run: AnchoredPasses(max_passes=hyper.passes),
            kinds=("enmf",),
        ),
        PaperMethod(
            "two-runs",
            "difference of two runs of AltEraser [AH-Newton]",
            "main",
            lambda hyper, run: TwoRuns(max_passes=hyper.passes),
            kinds=("enmf",),
        ),
        PaperMethod(
            "alteraser",
            "AltEraser, accelerated to residual 1e-3",
            "main",
            lambda hyper, run: AltEraser(tolerance=1e-3, max_passes=300, solver="ah-newton"),
            kinds=("enmf",),
        ),
        PaperMethod(
            "retrain-fast",
            "fastest retraining (accelerated AH-Newton)",
            "main",
            lambda hyper, run: Retrain(
                tolerance=1e-3, max_passes=300, solver="ah-newton", seed=9000 + run
            ),
            kinds=("enmf",),
        ),
        PaperMethod(
            "alteraser-local-20",
            "AltEraser [AH-Newton, local], 20 passes",
            "local",
            lambda hyper, run: AnchoredPasses(max_passes=20),
            kinds=("enmf",),
        ),
        PaperMethod(
            "two-runs-20",
            "difference of two runs, 20 passes",
            "local",
            lambda hyper, run: TwoRuns(max_passes=20),
            kinds=("enmf",),
        ),
        PaperMethod(
            "alteraser-joint",
            "AltEraser [joint], to residual 1e-3",
            "joint",
            lambda hyper, run: AltEraser(tolerance=1e-3),
            kinds=("enmf",),
        ),
        PaperMethod(
            "retrain-joint",
            "retraining [joint], to residual 1e-3",
            "joint",
            lambda hyper, run: Retrain(tolerance=1e-3, seed=9000 + run),
            kinds=("enmf",),
        ),
        PaperMethod(
            "warm-start-adam",
            "Warm-Start (Adam)",
            "first-order",
            _first_order(start="original", seed=3, optimizer="adam"),
            early=True,
        ),
        PaperMethod(
            "warm-start-sgd",
            "Warm-Start (SGD)",
            "first-order",
            _first_order(start="original", seed=3, optimizer="sgd", learning_rate=1e-3),
            early=True,
        ),
        PaperMethod(
            "retrain-decoupled",
            "Retrain, decoupled decay 1.0 added",
            "first-order",
            _first_order(start="random", seed=1, weight_decay=1.0),
            early=True,
        ),
        PaperMethod(
            "retrain-as-recbole",
            "Retrain, padding counted as positives",
            "first-order",
            _first_order(start="random", seed=1, as_recbole=True),
            early=True,
            kinds=("enmf",),
        ),
        PaperMethod(
            "ablation-cold-start", "cold start", "ablation", _cold("ah-newton"), kinds=("enmf",)
        ),
        PaperMethod(
            "ablation-no-touched-pass",
            "without the touched pass",
            "ablation",
            _alternating("ah-newton", touched_first=False),
            kinds=("enmf",),
        ),
        PaperMethod(
            "ablation-touched-only",
            "the touched rows, once",
            "ablation",
            _alternating("ah-newton", max_passes=1),
            kinds=("enmf",),
        ),
        PaperMethod(
            "ablation-no-alternation",
            "without alternation (HF-Newton on the whole model)",
            "ablation",
            lambda hyper, run: GlobalNewton(max_passes=5, tolerance=1e-3),
        ),
        PaperMethod(
            "ablation-first-order",
            "first-order rows (one AdamW step each)",
            "ablation",
            lambda hyper, run: AltEraser(
                solver=Differentiated("adamw-1", FirstOrderRows("adamw", steps=1)),
                memory=0,
                tolerance=0.0,
                max_passes=hyper.passes,
            ),
        ),
        PaperMethod(
            "ablation-phi-step",
            "with the Φ step",
            "ablation",
            _alternating("ah-newton", train_prediction=True),
            kinds=("enmf",),
        ),
        PaperMethod(
            "ablation-cg-rows",
            "rows by three CG steps",
            "ablation",
            _alternating("cg"),
            kinds=("enmf",),
        ),
        PaperMethod(
            "influence-after",
            "influence, H of the remaining data, CG",
            "influence",
            lambda hyper, run: Influence(hessian="after"),
            kinds=("enmf",),
        ),
        PaperMethod(
            "influence-before",
            "influence, stored H of all data, CG",
            "influence",
            lambda hyper, run: Influence(hessian="before"),
            kinds=("enmf",),
        ),
        PaperMethod(
            "influence-neumann",
            "influence, Neumann series",
            "influence",
            lambda hyper, run: Influence(hessian="before", inverse="neumann"),
            kinds=("enmf",),
        ),
        PaperMethod(
            "influence-kfac",
            "influence, KFAC",
            "influence",
            lambda hyper, run: Influence(hessian="before", inverse="kfac"),
            kinds=("enmf",),
        ),
        PaperMethod(
            "global-newton",
            "HF-Newton on the whole model",
            "influence",
            lambda hyper, run: GlobalNewton(max_passes=10, tolerance=1e-3),
        ),
        *(
            PaperMethod(
                f"solver-{name}",
                f"rows by {name}",
                "solvers",
                _alternating(name, max_passes=3),
                kinds=("enmf",) if name == "ah-newton" else ("enmf", "gmf"),
            )
            for name in SOLVER_LIST
        ),
    )
}
"""Methods by name, in the order of their tables."""

REFERENCES = ("original", "retrain")
"""Every other cell of a run needs these two."""


def choose(names: Iterable[str]) -> list[PaperMethod]:
    """Methods by names or groups, in table order, with those that they need. InvalidInput for an
    unknown name.
    """
    wanted = set()
    for name in names:
        if name in GROUPS:
            wanted |= {m.name for m in METHODS.values() if m.group == name}
        elif name == "all":
            wanted |= set(METHODS)
        elif name in METHODS:
            wanted.add(name)
        else:
            raise InvalidInput(
                f"unknown method {name!r}; there are the groups {', '.join(GROUPS)}, all, and "
                f"{', '.join(METHODS)}"
            )
    wanted |= set(REFERENCES)
    return [method for method in METHODS.values() if method.name in wanted]
