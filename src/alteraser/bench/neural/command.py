"""alteraser bench neural"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alteraser.bench.common import words
from alteraser.bench.paper.cells import DataFolder, carried_out, only
from alteraser.cli import common, completion
from alteraser.cli.screen import Screen


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
    methods: Annotated[
        str, typer.Option("--methods", help="Names separated by commas, or all.")
    ] = "all",
    datasets: Annotated[
        str | None,
        typer.Option(
            "--datasets", help="Only these of the folder, with commas.", show_default="all"
        ),
    ] = None,
    users: Annotated[
        int, typer.Option("--users", min=1, help="Users who ask for forgetting.")
    ] = 64,
    max_epochs: Annotated[
        int,
        typer.Option("--max-epochs", min=0, help="Cap on epochs of training; 0: each model's own."),
    ] = 0,
    factors: Annotated[
        int, typer.Option("--factors", min=0, help="Length of the embeddings; 0: the models' own.")
    ] = 0,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for cells and results; given again, it goes on.")
    ] = Path("bench-neural"),
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Workers; times are CPU seconds.")
    ] = 1,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:
    """Forget in neural recommenders: AltEraser, warm-started AdamW and retraining, side by side.

    Half as many false clicks as they have true ones are given to --users users, trained in, and
    forgotten. Every finished cell is stored under --out; the same command again goes on. Writes
    report.md and results.parquet.

    Example: alteraser bench neural --data sets --runs 1 --out results
    """
    from alteraser.bench.neural.methods import KINDS, METHODS, choose
    from alteraser.bench.paper.run import data_folders
    from alteraser.runtime.extras import require

    kinds = choose(words(models, "--models"), KINDS, "model")
    chosen = choose(words(methods, "--methods"), METHODS, "method")
    require("torch", "torch", "bench neural")
    from alteraser.bench.neural.report import write_report
    from alteraser.bench.neural.run import NeuralPlan, run_plan

    folders = only(data_folders(data), datasets, data)
    plan = NeuralPlan(folders, kinds, chosen, runs, users, max_epochs, factors, threads)
    return carried_out(
        Screen(json, quiet),
        out,
        [key for _, _, key in plan.cells()],
        lambda store, on_cell: run_plan(plan, store, on_cell),
        lambda folder, records: write_report(folder, records, plan),
    )
