"""alteraser bench paper and tune-paper"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from alteraser.bench.common import words
from alteraser.bench.paper.cells import DataFolder, carried_out, only
from alteraser.cli import common, completion
from alteraser.cli.screen import Screen
from alteraser.errors import InvalidInput


def paper(
    data: DataFolder,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Splits, each with its own seed.")] = 5,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            autocompletion=completion.PAPER_METHODS,
            help="Names or groups, separated by commas: main, local, joint, first-order, "
            "ablation, influence, solvers, all.",
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
            "--missing-weighting",
            autocompletion=completion.WEIGHTING,
            help="uniform, popularity or activity.",
        ),
    ] = "uniform",
    datasets: Annotated[
        str | None,
        typer.Option(
            "--datasets", help="Only these of the folder, with commas.", show_default="all"
        ),
    ] = None,
    users: Annotated[
        int, typer.Option("--users", min=1, help="Users who ask for forgetting.")
    ] = 64,
    hyperparameters: Annotated[
        Path | None,
        typer.Option(
            "--hyper-parameters", help="A file that tune-paper wrote.", show_default="built in"
        ),
    ] = None,
    factors: Annotated[
        int, typer.Option("--factors", min=0, help="Length of the embeddings; 0: the file's.")
    ] = 0,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for cells and results; given again, it goes on.")
    ] = Path("bench-paper"),
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Runs side by side; above 1 nothing is timed.")
    ] = 1,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Rerun the experiments of "Forgetting Fast in Recommender Systems" (Liu et al., RecSys 2022).

    Every finished cell is stored under --out; stop it with Ctrl-C and run the same command again to
    go on. Writes results.parquet, report.md and report.html.

    Example: alteraser bench paper --data sets --runs 1 --out results
    """
    from alteraser.bench.paper.hyperparameters import load_hyperparameters
    from alteraser.bench.paper.methods import choose
    from alteraser.bench.paper.report import write_report
    from alteraser.bench.paper.run import PaperPlan, data_folders, run_plan
    from alteraser.bench.paper.scene import SCENARIOS, share_of_users

    chosen = choose(words(methods, "--methods"))
    stoppings = words(stopping, "--stopping", ("validation", "test"))
    scenarios = words(scenario, "--scenario")
    for name in scenarios:
        if name not in ("noise", "true", "one") and share_of_users(name) is None:
            raise InvalidInput(f"--scenario {name!r}: there are {SCENARIOS}")
    (kind,) = words(model, "--model", ("enmf", "gmf"))
    (weighting,) = words(
        missing_weighting, "--missing-weighting", ("uniform", "popularity", "activity")
    )
    folders = only(data_folders(data), datasets, data)
    file = load_hyperparameters(hyperparameters)
    if factors:
        file = file.with_factors(factors)
    plan = PaperPlan(
        folders=folders,
        methods=tuple(m.name for m in chosen),
        scenarios=scenarios,
        stoppings=stoppings,  # type: ignore[arg-type]
        runs=runs,
        users=users,
        kind=kind,  # type: ignore[arg-type]
        weighting=weighting,
        hyperparameters=file,
        threads=threads,
        jobs=jobs,
    )
    return carried_out(
        Screen(json, quiet),
        out,
        [key for _, key in plan.cells()],
        lambda store, on_cell: run_plan(plan, store, on_cell),
        lambda folder, records: write_report(folder, records, plan),
    )


def tune_paper(
    data: DataFolder,
    out: Annotated[
        Path,
        typer.Option("--out", help="The file to write; entries of other data sets in it are kept."),
    ],
    factors: Annotated[
        int, typer.Option("--factors", min=1, help="Length of the embeddings.")
    ] = 64,
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

    screen = Screen(json, quiet)
    file = load_hyperparameters(out) if out.exists() else HyperParameterFile()
    trials: dict[str, Any] = {}
    for folder in data_folders(data):
        name = dataset_name(folder)
        with screen.phase("solve", f"tuning {name}"):
            interactions = Interactions.read(folder, duplicates="first")
            best, found = tune(
                interactions,
                factors=factors,
                threads=threads,
                on_trial=lambda t: screen.note(
                    f"[dim]{t.stage} {t.setting}: {t.score:.4f} after {t.passes}[/dim]"
                ),
            )
        screen.note(f"{name}: {best.note}")
        trials[name] = [vars(trial) for trial in found]
        file = file.model_copy(update={"enmf": {**file.enmf, name: best}})
        replace_file(out, (file.model_dump_json(indent=1) + "\n").encode())
    screen.result(
        {"out": str(out), "trials": trials}, [("out", str(out)), ("data sets", ", ".join(trials))]
    )
    return 0
