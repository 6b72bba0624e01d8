"""alteraser demo"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alteraser.cli import common, inputs
from alteraser.cli.screen import Screen
from alteraser.errors import DependencyMissing, NotFound

if TYPE_CHECKING:
    from alteraser.demo import Demo


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Real data instead of the generated household.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="New folder for models, data and report.html.", show_default="demo"
        ),
    ] = None,
    factors: Annotated[
        int, typer.Option("--factors", min=1, max=4096, help="Length d of the embeddings.")
    ] = 64,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Share of the push that may stay.")
    ] = 1e-3,
    users: Annotated[
        int, typer.Option("--users", help="With --data: users who get false clicks.")
    ] = 64,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the data and of the split.")
    ] = 0,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Train, forget, retrain, compare: the main job, with a report to look at.

    Without --data a household service is generated, with a child's month of gaming videos on a
    parent's account. With --data the paper's scenario runs on it: false clicks are added for some
    users, trained in, and forgotten.

    Takes 13 s of processor time on the household; MovieLens-1M takes 53 s.

    Example: alteraser demo --data ml-1m
    """
    from rich.markup import escape

    from alteraser.data.files import check_output
    from alteraser.data.sets import generate_household
    from alteraser.demo import household_scene, noise_scene, run_demo

    inputs.check_tolerance(tolerance)
    folder = out or _free("demo")
    check_output(folder)
    if importlib.util.find_spec("plotly") is None:
        raise DependencyMissing("the report needs plotly: pip install 'alteraser[report]'")
    screen = Screen(json, quiet)
    with screen.phase("read", "preparing the data"):
        if data is None:
            scene = household_scene(generate_household(seed=seed), seed=seed)
        else:
            if not data.exists():
                raise NotFound(
                    f"there is nothing at {data}; give a file or a folder with interactions.parquet"
                )
            scene = noise_scene(data, users=users, seed=seed)
    removed = scene.forget
    screen.note(f"[bold]{escape(scene.title)}[/]\n{escape(scene.story)}\n")
    screen.note(f"{scene.polluted!r}; to be forgotten: {len(removed):,} interactions")

    @contextmanager
    def stage(label: str, goal: float) -> Iterator[None]:
        if label == "measuring":
            with screen.phase("write", label):
                yield
        else:
            with screen.passes("solve", label, goal):
                yield
            screen.note(f"  {label}: done")

    shown = run_demo(scene, factors=factors, tolerance=tolerance, threads=threads, stage=stage)
    with screen.phase("write", "writing"):
        _write(shown, folder, seed)
    _show(screen, shown, folder)


def _free(name: str) -> Path:
    """``name``, or the first of name-2, name-3, … that does not exist."""
    number, path = 1, Path(name)
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}")
    return path


def _write(shown: Demo, folder: Path, seed: int) -> None:
    import pyarrow.parquet as pq

    from alteraser.data.files import atomic_directory
    from alteraser.demo.tell import report
    from alteraser.report import write_report

    with atomic_directory(folder) as aside:
        for name, model in zip(("original", "unlearned", "retrained"), shown.models, strict=True):
            model.save(aside / name)
        tables = {
            "trained-on": shown.scene.polluted,
            "forget": shown.scene.forget,
            "remaining": shown.unlearned.remaining,
            "test": shown.scene.test,
        }
        for name, interactions in tables.items():
            pq.write_table(interactions.to_table(), aside / f"{name}.parquet", compression="zstd")
        write_report(
            aside / "report.html", report(shown, {"command": f"alteraser demo --seed {seed}"})
        )


def _show(screen: Screen, shown: Demo, folder: Path) -> None:
    from alteraser.demo.tell import COLUMNS, comparison, lead, side_by_side

    rows, lists = comparison(shown), side_by_side(shown)
    if screen.json:
        document = {
            "out": str(folder),
            "report": str(folder / "report.html"),
            "account": shown.account,
            "lists": {name: items for name, items in zip(COLUMNS, shown.lists, strict=True)},
            "re_predict": dict(zip(COLUMNS, shown.re_predict, strict=True)),
            "agreement": dict(zip(COLUMNS, shown.agreement, strict=False)),
            "accuracy": dict(zip(COLUMNS, shown.accuracy, strict=True)),
            "influence_left": shown.influence_left,
            "gap_left": shown.gap_left,
            "residual": shown.unlearned.residual,
            "converged": shown.unlearned.converged,
            "passes": shown.unlearned.work.passes,
            "seconds_by_step": {
                "train": shown.train_seconds,
                "forget": shown.unlearned.seconds,
                "retrain": shown.retrained.seconds,
            },
            "seconds": screen.timing(),
        }
        screen.result(document)
        return
    if screen.quiet:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, emoji=False)
    table = Table(title=escape(f"Recommendations for {shown.account}"), title_justify="left")
    for name in ("before", "after forgetting", "retrained without it"):
        table.add_column(name)
    for row in lists:
        cells = []
        for title, category, flagged in row:
            text = escape(title) + (f" [dim]{escape(category)}[/]" if category else "")
            cells.append(f"[red]✗ {text}[/]" if flagged else text)
        table.add_row(*cells)
    console.print(table)
    table = Table(title="Three models on the remaining data", title_justify="left")
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for name, values in rows:
        table.add_row(name, *values)
    console.print(table)
    console.print(escape(lead(shown)))
    console.print(f"\nReport: [bold]{escape(str(folder / 'report.html'))}[/]", soft_wrap=True)
    console.print(
        escape(
            f"Try: alteraser recommend {folder}/unlearned --user {shown.account} --data "
            f"{folder}/remaining.parquet"
        ),
        soft_wrap=True,
    )
