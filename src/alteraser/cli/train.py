"""alteraser train"""

from __future__ import annotations

import math
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common, completion, exact, inputs, kind_options
from alteraser.cli.beside import BESIDE, COMPOSITE, PANEL, Beside
from alteraser.cli.options import grouped
from alteraser.cli.outweighed import outweighed
from alteraser.cli.screen import Screen, seconds_text, unrated_rows, work
from alteraser.errors import InvalidInput
from alteraser.models.registry import KINDS, LINEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.erasers import Outcome
    from alteraser.models import Factors
    from alteraser.models.factorization.model import Model

COMMAND = kind_options.WithKinds

# distance from the optimum over the model's size that --to-rest goes to: twice that of class C,
# because it is estimated from above
AT_REST = 2e-6

SHARED = frozenset(
    {
        "data",
        "out",
        "model",
        *(field.name for field in fields(common.HowRead)),
        "threads",
        "quiet",
        "json",
    }
)
"""Parameters that say nothing of what a kind is"""


@grouped
def train(
    ctx: typer.Context,
    data: common.DataArgument,
    out: Annotated[Path, typer.Option("--out", help="The new model directory; never overwritten.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            autocompletion=completion.KIND,
            help=f"{kind_options.listed(['enmf', COMPOSITE, *KINDS, *LINEAR], 'or')}.",
        ),
    ] = "enmf",
    factors: Annotated[int, typer.Option("--factors", help="Length d of the embeddings.")] = 64,
    missing_weight: Annotated[
        float | None,
        typer.Option("--missing-weight", help="w0 of missing cells.", show_default="from the data"),
    ] = None,
    regularization: Annotated[
        float | None, typer.Option("--regularization", help="λ.", show_default="from the data")
    ] = None,
    missing_weighting: Annotated[
        str,
        typer.Option(
            "--missing-weighting",
            autocompletion=completion.WEIGHTING,
            help="uniform, popularity or activity.",
        ),
    ] = "uniform",
    weight_exponent: Annotated[
        float, typer.Option("--weight-exponent", help="α of the missing weights.")
    ] = 0.5,
    regularization_scaling: Annotated[
        str,
        typer.Option(
            "--regularization-scaling", autocompletion=completion.SCALING, help="none or frequency."
        ),
    ] = "none",
    scaling_offset: Annotated[
        float, typer.Option("--scaling-offset", help="κ of the scaling.")
    ] = 0.0,
    scaling_exponent: Annotated[
        float, typer.Option("--scaling-exponent", help="ν of the scaling.")
    ] = 1.0,
    train_prediction: Annotated[
        bool,
        typer.Option(
            "--train-prediction", help="Train the prediction vector h as well (slow to converge)."
        ),
    ] = False,
    solver: Annotated[
        str,
        typer.Option(
            "--solver",
            autocompletion=completion.SOLVER,
            help="joint (Newton on both sides at once), ah-newton (exact rows), cg (matrix-free), "
            "…",
        ),
    ] = "joint",
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            autocompletion=completion.DTYPE,
            help="float32 or float64.",
            show_default="float32; float64 for confidences over four orders of magnitude",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random start.")] = 0,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="Relative stationarity to stop at.", show_default="1e-5"),
    ] = None,
    max_passes: Annotated[int, typer.Option("--max-passes", help="Cap on passes.")] = 1000,
    memory: Annotated[
        int, typer.Option("--memory", help="Passes that acceleration combines; 0 for plain ones.")
    ] = 6,
    to_rest: Annotated[
        bool,
        typer.Option(
            "--to-rest",
            help="Go on until the model is measured to be at its optimum: what it forgets "
            "can then be measured to be class C at a small part of this.",
        ),
    ] = False,
    confirm: common.Confirm = False,
    *,
    how: common.HowRead,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME,…",
            help="What was so when something happened: columns of DATA, or weekday, daytime, hour "
            "and month of its times (UTC).",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None,
    biases: Annotated[
        bool,
        typer.Option(
            "--biases", help="A number per user, item, word and context too.", rich_help_panel=PANEL
        ),
    ] = False,
    feature_scaling: Annotated[
        float,
        typer.Option(
            "--feature-scaling",
            help="ν: λ of a word of a feature is λ N^ν, N of those who have it.",
            rich_help_panel=PANEL,
        ),
    ] = 1.0,
    beside: Beside,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Train a model on DATA.

    enmf: passes of exact row solves over users and items, accelerated, until the gradient is small.
    popularity and item-knn are counted, and forget exactly. linear, which features, contexts or
    further relations ask for, is enmf over sums of vectors; linear-lightgcn smooths embeddings on
    the graph of who interacted with what, under a loss over all cells. Both are trained to their
    optimum, and forget by going to the one for what remains.

    MovieLens-1M takes 11 s of processor time (13 with --to-rest); two threads share it.

    Example: alteraser train ratings.csv --threshold 4 --out model

    Example: alteraser train ratings.csv --model linear-lightgcn --layers 3 --out graph

    Example: alteraser train ratings.csv --model item-knn --similarity cosine --neighbors 20 --out
    knn
    """
    from alteraser.data.files import check_output
    from alteraser.models.closed_form.rule import check_plain
    from alteraser.verbs.train import ENMF

    inputs.check_tolerance(tolerance)
    model = _kind(model, more=bool(beside.given or context is not None or biases))
    given = _given(ctx, model)
    reading = how.options()
    if model != "enmf":
        check_output(out)
        screen = Screen(json, quiet)
        return _way(model, beside, context)(screen, model, data, out, reading, given, threads)
    check_plain(reading, "enmf")
    with inputs.options_named():
        recipe = ENMF.model_validate(
            dict(
                factors=factors,
                missing_weight=missing_weight,
                regularization=regularization,
                missing_weighting=missing_weighting,
                weight_exponent=weight_exponent,
                regularization_scaling=regularization_scaling,
                scaling_offset=scaling_offset,
                scaling_exponent=scaling_exponent,
                train_prediction=train_prediction,
                solver=solver,
                seed=seed,
                dtype=dtype or "float32",
                tolerance=1e-5 if tolerance is None else tolerance,
                max_passes=max_passes,
                memory=memory,
                to_rest=to_rest,
                confirm=confirm,
                threads=threads,
            )
        )
    check_output(out)
    screen = Screen(json, quiet)
    interactions = _read(screen, data, reading)
    if dtype is None and _wide(interactions) is not None:
        recipe = recipe.model_copy(update={"dtype": "float64"})
    with screen.passes("solve", "training", recipe.tolerance, beyond=recipe.to_rest):
        trained, outcome = recipe.run(interactions, reading=reading)
    with screen.phase("write", f"writing {out}"):
        saved = trained.save(out)
    seconds = screen.timing()
    stats = interactions.statistics()
    critical = _critical(saved, interactions)
    short = not_reached(outcome, recipe.tolerance, recipe.dtype, wide := _wide(interactions))
    document = {
        "model": str(out),
        "digest": saved.digest,
        "method": "train",
        "solver": solver,
        **work(outcome),
        "objective_before": saved.training["objective_before"],
        "seconds": seconds,
        "tolerance": recipe.tolerance,
        "interactions_before": len(interactions),
        "interactions_forgotten": 0,
        "interactions_unmatched": 0,
        "interactions": len(interactions),
        "rows_without_rating": interactions.unrated,
        "users": stats.users,
        "items": stats.items,
        "distance_from_rest": outcome.rest,
        "to_rest_seconds_predicted": _to_rest(outcome),
        "critical_regularization": critical,
        "not_reached": short,
        "confidences": wide,
        "hyper_parameters": saved.objective.model_dump() | {"factors": factors},
    }
    screen.result(
        document,
        [
            ("model", str(out)),
            (
                "interactions",
                f"{len(interactions):,} of {stats.users:,} users and {stats.items:,} items",
            ),
            *unrated_rows(interactions),
            (
                "hyper-parameters",
                f"d = {factors}, w0 = {saved.objective.missing_weight:.3g}, "
                f"λ = {saved.objective.regularization:.3g}",
            ),
            ("passes", f"{outcome.passes} ({outcome.rejected} extrapolations rejected)"),
            ("objective", f"{outcome.objective:,.2f}"),
            (
                "stationarity",
                f"{outcome.residual:.1e}" + ("" if outcome.converged else "  (not converged)"),
            ),
            *_remarks(saved, outcome, critical),
            *([("note", wide)] if wide is not None and short is None else []),
            ("time", seconds_text(seconds)),
            *_rest(outcome, seconds["solve"]),
            *([] if short is None else [("not reached", short)]),
        ],
    )
    if quiet and short is not None:
        screen.warn(f"not reached: {short}")
    return 0


def _read(screen: Screen, data: Path, reading: ReadingOptions) -> Interactions:
    """The interactions of a file. InvalidInput where there are none."""
    from alteraser.data.interactions import Interactions

    with screen.phase("read", f"reading {data}"):
        interactions = Interactions.read(data, reading)
    if len(interactions) == 0:
        least = reading.threshold
        above = "" if least is None else f" at or above the threshold of {least:g}"
        raise InvalidInput(f"{data} holds no interactions{above}; there is nothing to train on")
    return interactions


def _wide(data: Interactions) -> str | None:
    """Of confidences over many orders of magnitude: what they do, and what to do about them."""
    import numpy as np

    from alteraser.models.factorization.magnitudes import WIDE, confidence_ratio

    if confidence_ratio(data) < WIDE:
        return None
    least, most = float(np.min(data.confidence)), float(np.max(data.confidence))  # type: ignore[arg-type]
    return (
        f"the confidences go from {least:.3g} to {most:.3g}; the heaviest bind users and items "
        "together so hard that steps may crawl, in forgetting too: take a rule such as "
        "log1p(column) or min(column, 1000) as --confidence"
    )


def not_reached(
    outcome: Outcome, tolerance: float, dtype: str, wide: str | None = None
) -> str | None:
    """Of a training that ended before its tolerance: how far it got, and what to do; the model is
    written.

    ``wide`` says why, where that is known.
    """
    if outcome.converged:
        return None
    far = (
        f"stationarity {outcome.residual:.1e} after {outcome.passes} passes, the tolerance is "
        f"{tolerance:.1e}"
    )
    if wide is not None:
        return f"{far}: {wide}"
    if outcome.reason == "rounding":
        more = "--dtype float64 does" if dtype == "float32" else "ask for a larger --tolerance"
        return f"{far}; {dtype} holds no more digits: {more}"
    return (
        f"{far}: not trained to the end; it can forget by the effect of a deletion alone (local), "
        "or by training again without it (replay); raise --max-passes to train on"
    )


def _way(kind: str, beside: Beside, context: str | None) -> Callable[..., int]:
    """What trains a kind that is not enmf."""
    if kind != COMPOSITE and kind not in LINEAR:
        return exact.train
    from alteraser.cli.relational import train

    return partial(train.train, beside=beside, context=context)


def _kind(model: str, *, more: bool) -> str:
    """The kind that is asked for: linear where DATA are not all; InvalidInput for one that is
    none.
    """
    kinds = ("enmf", COMPOSITE, *KINDS, *LINEAR)
    if model not in kinds:
        raise InvalidInput(f"--model {model!r}: there are {', '.join(kinds)}")
    return COMPOSITE if more and model == "enmf" else model


def _given(ctx: typer.Context, kind: str) -> dict[str, Any]:
    """The settings of ``kind`` that the command line gives; InvalidInput for one of another
    kind.
    """
    from alteraser.cli.relational.train import SETTINGS
    from alteraser.verbs.train import ENMF

    known: Container[str] = SETTINGS
    if kind != COMPOSITE:
        settings = ENMF if kind == "enmf" else LINEAR[kind] if kind in LINEAR else KINDS[kind]
        known = settings.model_fields
    found = {}
    for name, value in {**ctx.params, **ctx.meta[kind_options.GIVEN]}.items():
        source = ctx.get_parameter_source(name)
        beside_data = kind == COMPOSITE and name in BESIDE
        if name in SHARED or beside_data or source is None or source.name != "COMMANDLINE":
            continue
        if name not in known:
            raise InvalidInput(f"--{name.replace('_', '-')} means nothing to --model {kind}")
        found[name] = value
    return found


def _to_rest(outcome: Outcome) -> float | None:
    """Predicted seconds that going on to rest would take, by how the last joint steps got on; None:
    they do not say.
    """
    steps = [record for record in outcome.trace if record.scope == "joint" and record.residual]
    recent = steps[-max(len(steps) // 2, 2) :]
    if outcome.rest is None or len(recent) < 5:
        return None
    if outcome.rest <= AT_REST:
        return 0.0
    fell = math.log(recent[0].residual / recent[-1].residual)  # type: ignore[operator]
    if not fell > 0:
        return None
    more = math.log(outcome.rest / AT_REST) * len(recent) / fell
    return more * sum(record.seconds for record in recent) / len(recent)


def _rest(outcome: Outcome, solved: float) -> list[tuple[str, str]]:
    """How far from rest it ended, which decides how it can forget."""
    if outcome.rest is None:
        return [
            (
                "rest",
                "how far from an optimum this ended is not known; --to-rest goes on until it is "
                "measured",
            )
        ]
    far = f"{outcome.rest:.1e} of the model's size from its optimum"
    more = _to_rest(outcome)
    if outcome.rest <= AT_REST or more == 0.0:
        return [("rest", f"about {far}: at rest")]
    cost = (
        ""
        if more is None
        else f", in about {more:.2g} s more ({more / max(solved, 1e-9):.0%} of this training)"
    )
    return [
        (
            "rest",
            f"about {far}. "
            "Deletions whose effect is not well above that are forgotten by it alone (class L); "
            f"--to-rest trains on until class C is possible{cost}",
        )
    ]


def _empty(factors: Factors) -> bool:
    """Whether no score is further from 0 than rounding."""
    return (
        float(abs(factors.users).max() * abs(factors.items).max() * abs(factors.prediction).sum())
        < 1e-6
    )


def _critical(model: Model, data: Interactions) -> float | None:
    """Of a model without scores: the λ below which there are some."""
    from alteraser.models import Problem
    from alteraser.solvers.collapse import critical_regularization

    if not _empty(model.factors):
        return None
    return critical_regularization(
        Problem(model.objective, data, model.factors.dtype), model.factors.prediction
    )


def _remarks(model: Model, outcome: Outcome, critical: float | None) -> list[tuple[str, str]]:
    """What will matter when this model is to forget."""
    rows = []
    if _empty(model.factors):
        return [("note", outweighed(model.objective.regularization, critical))]
    if model.objective.regularization == 0:
        rows.append(
            (
                "note",
                "the regularization is 0: the solution is not determined, so no certificate can "
                "be given; use --regularization above 0",
            )
        )
    return rows
