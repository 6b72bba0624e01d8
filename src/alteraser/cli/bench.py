"""alteraser bench: experiments that compare ways to forget"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alteraser.cli import common, completion
from alteraser.errors import Interrupted, InvalidInput

app = typer.Typer(help="Experiments that compare ways to forget.", no_args_is_help=True)

DataFolder = Annotated[
    Path, typer.Option("--data", help="A data set, or a folder of data sets (each a folder with interactions.parquet).")
]


@app.command("paper")
def paper(
    data: DataFolder,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Splits, each with its own seed.")] = 5,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            autocompletion=completion.PAPER_METHODS,
            help="Names or groups, separated by commas: main, local, joint, first-order, ablation, influence, solvers, "
            "all.",
        ),
    ] = "main",
    scenario: Annotated[
        str,
        typer.Option(
            "--scenario",
            autocompletion=completion.SCENARIOS,
            help="noise (injected clicks), true (real ones), one (a single one), users-P% "
            "(half of what P % of the users did); several with commas.",
        ),
    ] = "noise",
    stopping: Annotated[
        str,
        typer.Option(
            "--stopping",
            autocompletion=completion.STOPPINGS,
            help="What early stopping looks at: validation, test, or both with a comma.",
        ),
    ] = "validation",
    model: Annotated[
        str,
        typer.Option(
            "--model",
            autocompletion=completion.PAPER_KIND,
            help="enmf or gmf (logistic loss, neural MF's one-layer form).",
        ),
    ] = "enmf",
    missing_weighting: Annotated[
        str,
        typer.Option(
            "--missing-weighting", autocompletion=completion.WEIGHTING, help="uniform, popularity or activity."
        ),
    ] = "uniform",
    datasets: Annotated[
        str | None, typer.Option("--datasets", help="Only these of the folder, with commas.", show_default="all")
    ] = None,
    users: Annotated[int, typer.Option("--users", min=1, help="Users who ask for forgetting.")] = 64,
    hyperparameters: Annotated[
        Path | None, typer.Option("--hyper-parameters", help="A file that tune-paper wrote.", show_default="built in")
    ] = None,
    factors: Annotated[int, typer.Option("--factors", min=0, help="Length of the embeddings; 0: the file's.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder for cells and results; given again, it goes on.")] = Path(
        "bench-paper"
    ),
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Runs side by side; above 1 nothing is timed.")] = 1,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Rerun the experiments of "Forgetting Fast in Recommender Systems" (Liu et al., RecSys 2022).

    Every finished cell is stored under --out; stop it with Ctrl-C and run the same command again to go on. Writes
    results.parquet, report.md and report.html.

    Example: alteraser bench paper --data sets --runs 1 --out results
    """
    from alteraser.bench.paper.hyperparameters import HyperParameterFile, load_hyperparameters
    from alteraser.bench.paper.methods import choose
    from alteraser.bench.paper.report import write_report
    from alteraser.bench.paper.run import Plan, data_folders, run_plan
    from alteraser.bench.paper.scene import SCENARIOS, share_of_users
    from alteraser.bench.paper.store import Store

    chosen = choose(_names(methods, "--methods"))
    stoppings, scenarios = _names(stopping, "--stopping"), _names(scenario, "--scenario")
    for name in stoppings:
        _one_of("--stopping", name, ("validation", "test"))
    for name in scenarios:
        if name not in ("noise", "true", "one") and share_of_users(name) is None:
            raise InvalidInput(f"--scenario {name!r}: there are {SCENARIOS}")
    _one_of("--model", model, ("enmf", "gmf"))
    _one_of("--missing-weighting", missing_weighting, ("uniform", "popularity", "activity"))
    folders = _only(data_folders(data), datasets, data)
    file = load_hyperparameters(hyperparameters)
    if factors:
        file = HyperParameterFile(**{
            kind: {name: entry.model_copy(update={"factors": factors}) for name, entry in getattr(file, kind).items()}
            for kind in ("enmf", "gmf")
        }, factors=factors)  # fmt: skip
    plan = Plan(
        folders=folders, methods=tuple(m.name for m in chosen), scenarios=tuple(scenarios),
        stoppings=tuple(stoppings), runs=runs, users=users, kind=model, weighting=missing_weighting,  # type: ignore[arg-type]
        hyperparameters=file, threads=threads, jobs=jobs,
    )  # fmt: skip
    screen = common.Screen(json, quiet)
    store = Store(out)
    total = len(list(plan.cells()))
    with screen.phase("solve", ""), _progress(screen, total) as on_cell:
        try:
            records = run_plan(plan, store, on_cell)
        except (KeyboardInterrupt, Interrupted):
            done = sum(store.record(key) is not None for _, key in plan.cells())
            raise Interrupted(f"interrupted; {done} of {total} cells are in {out}, the same command goes on") from None
    written = write_report(store.folder, records, plan)
    document: dict[str, Any] = {
        "cells": len(records), "out": str(out), **{name: str(path) for name, path in written.items()},
        "seconds": screen.timing(),
    }  # fmt: skip
    screen.result(document, [(name, str(value)) for name, value in document.items() if name != "seconds"])
    return 0


@app.command("neural")
def neural(
    data: DataFolder,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Splits, each with its own seed.")] = 1,
    models: Annotated[
        str,
        typer.Option(
            "--models",
            autocompletion=completion.NEURAL_KINDS,
            help="gmf, mlp, neumf, bpr, lightgcn, separated by commas, or all.",
        ),
    ] = "all",
    methods: Annotated[str, typer.Option("--methods", help="Names separated by commas, or all.")] = "all",
    datasets: Annotated[
        str | None, typer.Option("--datasets", help="Only these of the folder, with commas.", show_default="all")
    ] = None,
    users: Annotated[int, typer.Option("--users", min=1, help="Users who ask for forgetting.")] = 64,
    max_epochs: Annotated[
        int, typer.Option("--max-epochs", min=0, help="Cap on epochs of training; 0: each model's own.")
    ] = 0,
    factors: Annotated[int, typer.Option("--factors", min=0, help="Length of the embeddings; 0: the models' own.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder for cells and results; given again, it goes on.")] = Path(
        "bench-neural"
    ),
    threads: Annotated[int, typer.Option("--threads", min=1, help="Workers; times are CPU seconds.")] = 1,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Forget in neural recommenders: AltEraser, warm-started AdamW and retraining, side by side.

    Half as many false clicks as they have true ones are given to --users users, trained in, and forgotten. Every
    finished cell is stored under --out; the same command again goes on. Writes report.md and results.parquet.

    Example: alteraser bench neural --data sets --runs 1 --out results
    """
    from alteraser.bench.neural.methods import KINDS, METHODS, choose
    from alteraser.bench.paper.run import data_folders
    from alteraser.runtime.extras import require

    kinds = choose(_names(models, "--models"), KINDS, "model")
    chosen = choose(_names(methods, "--methods"), METHODS, "method")
    require("torch", "torch", "bench neural")
    from alteraser.bench.neural.report import write_report
    from alteraser.bench.neural.run import Plan, run_plan
    from alteraser.bench.paper.store import Store

    folders = _only(data_folders(data), datasets, data)
    plan = Plan(folders, kinds, chosen, runs, users, max_epochs, factors, threads)
    screen, store = common.Screen(json, quiet), Store(out)
    total = len(list(plan.cells()))
    with screen.phase("solve", ""), _progress(screen, total) as on_cell:
        try:
            records = run_plan(plan, store, on_cell)
        except (KeyboardInterrupt, Interrupted):
            done = sum(store.record(key) is not None for _, _, key in plan.cells())
            raise Interrupted(f"interrupted; {done} of {total} cells are in {out}, the same command goes on") from None
    written = write_report(store.folder, records, plan)
    document: dict[str, Any] = {
        "cells": len(records), "out": str(out), **{name: str(path) for name, path in written.items()},
        "seconds": screen.timing(),
    }  # fmt: skip
    screen.result(document, [(name, str(value)) for name, value in document.items() if name != "seconds"])
    return 0


@app.command("tune-paper")
def tune_paper(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", help="The file to write; entries of other data sets in it are kept.")],
    factors: Annotated[int, typer.Option("--factors", min=1, help="Length of the embeddings.")] = 64,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Choose the hyper-parameters of "bench paper" on a validation cut.

    Example: alteraser bench tune-paper --data sets --out hyperparameters.json
    """
    from alteraser.bench.paper.hyperparameters import HyperParameterFile, load_hyperparameters
    from alteraser.bench.paper.run import data_folders
    from alteraser.bench.paper.tune import dataset_name, tune
    from alteraser.data.files import replace_file
    from alteraser.data.interactions import Interactions

    screen = common.Screen(json, quiet)
    file = load_hyperparameters(out) if out.exists() else HyperParameterFile()
    trials: dict[str, Any] = {}
    for folder in data_folders(data):
        name = dataset_name(folder)
        with screen.phase("solve", f"tuning {name}"):
            interactions = Interactions.read(folder, duplicates="first")
            best, found = tune(
                interactions, factors=factors, threads=threads,
                on_trial=lambda t: screen.note(f"[dim]{t.stage} {t.setting}: {t.score:.4f} after {t.passes}[/dim]"),
            )  # fmt: skip
        screen.note(f"{name}: {best.note}")
        trials[name] = [vars(trial) for trial in found]
        file = file.model_copy(update={"enmf": {**file.enmf, name: best}})
        replace_file(out, (file.model_dump_json(indent=1) + "\n").encode())
    screen.result({"out": str(out), "trials": trials}, [("out", str(out)), ("data sets", ", ".join(trials))])
    return 0


def _names(text: str, option: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise InvalidInput(f"{option} {text!r}: expected names separated by commas")
    return names


def _only(folders: tuple[Path, ...], datasets: str | None, data: Path) -> tuple[Path, ...]:
    if datasets is None:
        return folders
    wanted = _names(datasets, "--datasets")
    known = {folder.name: folder for folder in folders}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InvalidInput(f"--datasets: {', '.join(missing)} not in {data}; there are {', '.join(known)}")
    return tuple(known[name] for name in wanted)


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidInput(f"{option} {value!r}: there are {', '.join(known)}")


def _progress(screen: common.Screen, total: int) -> Any:
    """A bar over cells with an estimate of the time that is left; a line per cell where there is no terminal."""
    from contextlib import contextmanager

    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    @contextmanager
    def shown() -> Any:
        console = screen.stderr
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=console, transient=True,
            disable=screen.quiet or not console.is_terminal,
        )  # fmt: skip
        with bar:
            task = bar.add_task("cells", total=total)

            def on_cell(key: Any, seconds: float) -> None:
                bar.update(task, advance=1, description=str(key))
                if not console.is_terminal and seconds > 0.05:
                    screen.note(f"{key}  {seconds:.1f} s")

            yield on_cell

    return shown()
