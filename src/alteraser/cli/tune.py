"""alteraser tune"""

from __future__ import annotations

import json as json_module
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common, completion, inputs, kind_options
from alteraser.cli.beside import BESIDE, COMPOSITE, PANEL, Beside
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen, seconds_text
from alteraser.errors import DependencyMissing, InvalidInput
from alteraser.models.registry import KINDS, LINEAR

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from alteraser.data.readers import ReadingOptions
    from alteraser.verbs.tune import Tuned


COMMAND = kind_options.WithKindLists

GENERAL = frozenset(
    {
        "data",
        "out",
        "model",
        "validation",
        "seed",
        *(field.name for field in fields(common.HowRead)),
        "threads",
        "quiet",
        "json",
    }
)
"""Parameters that every kind takes"""


@grouped
def tune(
    ctx: typer.Context,
    data: common.DataArgument,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            autocompletion=completion.KIND,
            help=f"{kind_options.listed(['enmf', COMPOSITE, *kind_options.tuned()], 'or')}.",
        ),
    ] = "enmf",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for finished trials and the report; the same command goes on from it.",
            show_default=False,
        ),
    ] = None,
    factors: Annotated[str, typer.Option("--factors", help="Values of d to try.")] = "32,64",
    missing_weight: Annotated[
        str | None,
        typer.Option(
            "--missing-weight", help="Values of w0.", show_default="around the data's default"
        ),
    ] = None,
    regularization: Annotated[
        str | None,
        typer.Option(
            "--regularization", help="Values of λ.", show_default="around the data's default"
        ),
    ] = None,
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Add a finer round around the best.")
    ] = True,
    validation: Annotated[
        float,
        typer.Option(
            "--validation", help="Share of every user held out; of sessions and baskets, see above."
        ),
    ] = 0.2,
    finalists: Annotated[
        int, typer.Option("--finalists", min=1, help="How many are trained from two seeds.")
    ] = 4,
    users: Annotated[
        int,
        typer.Option("--sample-users", min=1, help="Users whose lists two seeds are compared by."),
    ] = 500,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Relative stationarity of a trial.")
    ] = 1e-3,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the cut and of the starts.")
    ] = 0,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Paths of falling λ that run side by side.")
    ] = 1,
    *,
    how: common.HowRead,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME,…",
            help="Contexts, as for train; every query is then a user in a context.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None,
    feature_scaling: Annotated[
        str | None,
        typer.Option(
            "--feature-scaling",
            help="Values of ν to try, of features of linear.",
            rich_help_panel=PANEL,
            show_default="1",
        ),
    ] = None,
    beside: Beside,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Choose the factors, the missing weight and the regularization for DATA on a validation cut.

    Accuracy and forgettability side by side: the finalists are trained from two seeds, and of those
    within one standard error of the best accuracy the one on which the seeds agree best is chosen.

    Of kinds that forget exactly every setting of a grid is fitted once, and the best NDCG@10 is
    chosen. Of sessions, everybody's last one is held out whole and revealed event by event (where
    everybody has one alone, the latest of all, a share of --validation; without times, drawn by
    --seed), and the best NDCG@20 is chosen; of baskets, everybody's last one, by NDCG@10.

    Of linear and linear-lightgcn every setting of a grid is trained, along paths of falling λ, and
    the best NDCG@10 is chosen; what is beside DATA is given as to train.

    MovieLens-1M takes 4 minutes of processor time.

    Example: alteraser tune ratings.csv --out tuning

    Example: alteraser tune ratings.csv --model item-knn --similarity cosine,bm25 --neighbors
    20,50,100

    Example: alteraser tune ratings.csv --model linear-lightgcn --layers 1,2 --factors 64

    Example: alteraser tune clicks.csv --model vs-knn --session-column session_id --neighbors 50,100
    """
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form.rule import check_plain
    from alteraser.verbs.tune import Grid
    from alteraser.verbs.tune import tune as find

    if model == "enmf" and (beside.given or context is not None):
        model = COMPOSITE
    given = _given(ctx, model)
    reading = how.options()
    if model != "enmf":
        if model != COMPOSITE:
            beside.refuse(f"means nothing to --model {model}")
        screen = Screen(json, quiet)
        search: Any = partial(_exact, screen, model, given, data, reading)
        if model == COMPOSITE or model in LINEAR:
            from alteraser.cli.relational.tune import tune as linear

            search = partial(
                linear,
                screen,
                model,
                _values(model, given),
                data,
                reading,
                beside=beside,
                context=context,
            )
        search = partial(search, validation=validation, seed=seed, threads=threads)
        return _of_a_grid(screen, out, search)
    with inputs.options_named(
        {"missing_weights": "missing_weight", "regularizations": "regularization"}
    ):
        grid = Grid(
            factors=tuple(int(x) for x in _numbers("--factors", factors, whole=True)),
            missing_weights=None
            if missing_weight is None
            else _numbers("--missing-weight", missing_weight),
            regularizations=None
            if regularization is None
            else _numbers("--regularization", regularization),
            refine=refine,
        )
    inputs.check_tolerance(tolerance)
    check_plain(reading, model)
    if out is not None and out.exists() and not (out / "settings.json").exists():
        raise InvalidInput(
            f"--out {out}: it exists and is not the folder of a search; name a new one"
        )
    screen = Screen(json, quiet)
    with screen.phase("read", f"reading {data}"):
        interactions = Interactions.read(data, reading)
    with screen.steps("solve", "tuning"):
        tuned = find(
            interactions,
            grid=grid,
            out=out,
            validation=validation,
            seed=seed,
            finalists=finalists,
            users=users,
            tolerance=tolerance,
            jobs=jobs,
            threads=threads,
        )
    report = None if out is None else _write(tuned, out, data.name)
    _report(screen, tuned, data, out, report)
    return 0


def _given(ctx: typer.Context, kind: str) -> dict[str, str]:
    """The lists of values that the command line gives for settings of ``kind``; InvalidInput for
    others' options.
    """
    known = ("enmf", COMPOSITE, *kind_options.tuned())
    if kind not in (*known, *KINDS):
        raise InvalidInput(f"--model {kind!r}: there are {', '.join(known)}")
    if kind not in known:
        raise InvalidInput(
            f"--model {kind}: every setting would be a network to train, which tune leaves to you. "
            "Hold out last sessions with alteraser data split, train with each setting on the "
            "rest, and compare by alteraser evaluate"
        )
    found = {}
    for name, value in {**ctx.params, **ctx.meta[kind_options.GIVEN]}.items():
        source = ctx.get_parameter_source(name)
        if (
            name in GENERAL
            or (kind == COMPOSITE and name in BESIDE)
            or source is None
            or source.name != "COMMANDLINE"
        ):
            continue
        if name not in _settings(ctx, kind):
            raise InvalidInput(f"--{name.replace('_', '-')} means nothing to --model {kind}")
        found[name] = value
    return found


def _settings(ctx: typer.Context, kind: str) -> Container[str]:
    """The names of what may be tried of ``kind``."""
    if kind == "enmf":
        return ctx.params.keys() - BESIDE - {"feature_scaling"}
    if kind == COMPOSITE:
        return ("factors", "missing_weight", "regularization", "feature_scaling")
    table = LINEAR if kind in LINEAR else KINDS
    return table[kind].model_fields.keys() - kind_options.NOT_TRIED


def _values(model: str, given: Mapping[str, str]) -> dict[str, list[str | None]]:
    """Values as they are written; ``none`` is none but where a setting has that word."""
    fields = {**LINEAR, **KINDS}[model].model_fields if model != COMPOSITE else {}
    words = {name: kind_options.choices(info) for name, info in fields.items()}
    return {
        name: [
            None if part == "none" and part not in words.get(name, ()) else part
            for part in map(str.strip, text.split(","))
        ]
        for name, text in given.items()
    }


def _of_a_grid(
    screen: Screen,
    out: Path | None,
    search: Callable[[], tuple[dict[str, Any], list[tuple[str, str]]]],
) -> int:
    """Say, and write, what a search that keeps no trials came to."""
    from alteraser.data.files import replace_file

    if out is not None and out.exists() and not (out / "tune.json").exists():
        raise InvalidInput(
            f"--out {out}: it exists and is not the folder of a search; name a new one"
        )
    document, rows = search()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / "tune.json", json_module.dumps(document, indent=1).encode())
    screen.result({**document, "seconds": screen.timing()}, rows)
    return 0


def _exact(
    screen: Screen,
    model: str,
    given: dict[str, str],
    data: Path,
    reading: ReadingOptions,
    *,
    validation: float,
    seed: int,
    threads: int,
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """(what came of it as a document, the same as rows)."""
    from alteraser.data.interactions import Interactions
    from alteraser.verbs.tune.exact import grid_of, metric_of, tune_exact, words

    with inputs.options_named():
        points = grid_of(KINDS[model], _values(model, given))
    for point in points:
        point.check_reading(reading)
    taken, metric = points[0].reading_of(reading), metric_of(points[0])
    names = inputs.names_given(reading, taken)
    with screen.phase("read", f"reading {data}"):
        interactions = Interactions.read(data, taken, option_names=names)
    with screen.steps("solve", "tuning"):
        tuned = tune_exact(
            points,
            interactions,
            reading=taken,
            validation=validation,
            seed=seed,
            threads=threads,
        )
    document = {
        "kind": model,
        "metric": metric,
        "chosen": tuned.chosen.to_document(),
        "trials": [trial.to_document() for trial in tuned.trials],
    }
    options = " ".join(
        f"--{name.replace('_', '-')} {value}"
        for name, value in tuned.chosen.settings.model_dump().items()
        if value is not None and not isinstance(value, bool)
    )
    rows = [
        (metric.upper(), "settings"),
        *((f"{trial.metrics[metric]:.4f}", words(trial.settings)) for trial in tuned.trials[:10]),
        ("train with", f"--model {model} {options}".rstrip()),
        ("time", seconds_text(screen.timing())),
    ]
    return document, rows


def _numbers(option: str, text: str, *, whole: bool = False) -> tuple[float, ...]:
    values = []
    for part in text.split(","):
        try:
            value = float(int(part)) if whole else float(part)
        except ValueError:
            raise InvalidInput(
                f"{option} {text!r}: {part.strip()!r} is not a {'whole ' if whole else ''}number; "
                "write a list such as " + ("32,64" if whole else "0.1,0.3")
            ) from None
        if not (value >= 1 if whole else 0 < value < float("inf")):
            raise InvalidInput(f"{option} {text!r}: {part.strip()} is not above zero")
        values.append(value)
    return tuple(values)


def _write(tuned: Tuned, out: Path, name: str) -> Path | None:
    from alteraser.data.files import replace_file
    from alteraser.verbs.tune.search import to_document

    replace_file(out / "tune.json", json_module.dumps(to_document(tuned), indent=1).encode())
    try:
        from alteraser.verbs.tune.page import render

        page = render(tuned, name)
    except DependencyMissing:
        return None
    replace_file(out / "report.html", page.encode())
    return out / "report.html"


def _report(
    screen: Screen, tuned: Tuned, data: Path, out: Path | None, report: Path | None
) -> None:
    from alteraser.verbs.tune.search import to_document

    point = tuned.chosen.trial.point
    command = (
        f"alteraser train {data} --factors {point.factors} --missing-weight "
        f"{point.missing_weight:g} --regularization {point.regularization:g} --out model"
    )
    rows = [("trials", f"{len(tuned.trials)} ({tuned.resumed} found finished)")]
    for finalist in tuned.finalists:
        setting, found = finalist.trial.point, finalist.forgettability
        mark = " <- chosen" if finalist is tuned.chosen else ""
        rows.append(
            (
                f"d={setting.factors} w0={setting.missing_weight:.3g} "
                f"λ={setting.regularization:.3g}",
                f"NDCG@10 {finalist.trial.ndcg:.4f} ± {finalist.trial.error:.4f}, two seeds "
                f"{found.agreement:.4f}, curvature {found.curvature:.2g} (estimate), "
                f"{found.steps} steps + {found.products} products{mark}",
            )
        )
    if out is not None and report is None:
        rows.append(("no plot", "plotly is not installed: pip install 'alteraser[report]'"))
    elif report is not None:
        rows.append(("report", str(report)))
    rows.append(("next", command))
    document = {
        **to_document(tuned),
        "command": command,
        "report": None if report is None else str(report),
        "seconds": screen.timing(),
    }
    screen.result(document, rows)
