"""alteraser bench: experiments that compare ways to forget, benchmarks that measure the program.

An experiment is a module with a function of its name, and a line of ``EXPERIMENTS``. It is imported
when it is asked for, so that a shell that completes words, and ``--help``, pay for none.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

import typer
import typer.core
import typer.main

from alteraser.cli import common
from alteraser.errors import DependencyMissing

EXPERIMENTS = {
    "paper": (
        "alteraser.bench.paper.command",
        "The experiments of Liu et al., RecSys 2022, rerun.",
    ),
    "tune-paper": (
        "alteraser.bench.paper.command",
        "Hyper-parameters for the same, on a validation cut.",
    ),
    "neural": (
        "alteraser.bench.neural.command",
        "Neural recommenders: AltEraser, warm-started AdamW, retraining.",
    ),
    "networks": (
        "alteraser.bench.neural.networks",
        "GRU4Rec, SASRec and NCF: warm starts, rewinding, rows of items, retraining.",
    ),
    "kernels": ("alteraser.bench.kernels", "A pass of ours against an iteration of implicit."),
    "resources": (
        "alteraser.bench.resources",
        "Reading, memory of training, compiling, time to --help.",
    ),
    "scenario": (
        "alteraser.bench.scenario",
        "The paper's scenario after 1 to 20 passes, and the work to an end.",
    ),
    "joint": ("alteraser.bench.joint", "Ways to the optimum: passes, Newton steps, joint steps."),
    "stream": ("alteraser.bench.stream", "Requests one after another in a warm process."),
    "warm": (
        "alteraser.bench.warm",
        "Exact kinds in a warm process: one person, while people grow.",
    ),
    "sessions": (
        "alteraser.bench.sessions",
        "slist in a warm process: sessions forgotten one by one, folds apart.",
    ),
    "local": (
        "alteraser.bench.local",
        "Models that are not at rest: cost and effect of a local deletion.",
    ),
    "scale": ("alteraser.bench.scale", "How time and memory grow with the data."),
    "stopped": (
        "alteraser.bench.stopped",
        "implicit's models, forgetting beside a retrain with the same seed.",
    ),
    "linear": (
        "alteraser.bench.linear.command",
        "Losses over all cells: LightGCN and other cases, against a converged retrain.",
    ),
    "exact": ("alteraser.bench.exact", "What forgetting costs recommenders that forget exactly."),
    "serve": (
        "alteraser.bench.serve",
        "A service under load: requests offered at a rate, latencies.",
    ),
    "ledger": (
        "alteraser.bench.ledger",
        "A ledger of many requests: what it takes to look at it.",
    ),
    "foreign": (
        "alteraser.bench.foreign",
        "What forgetting in implicit's files costs, in time or in memory.",
    ),
}
"""By name: the module that holds a function of that name, and a line about it."""


class Experiments(typer.core.TyperGroup):
    """A group that knows its commands by the table and imports the one that is run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, about) in EXPERIMENTS.items():
            self.add_command(typer.core.TyperCommand(name, help=about))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The experiment that ``args`` begin with, imported."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, known if name is None else experiment(name), rest


app = typer.Typer(cls=Experiments, no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


def experiment(name: str) -> Any:
    """The command called ``name``; DependencyMissing, saying where it is to be had, if it is not in
    this package.
    """
    module, _ = EXPERIMENTS[name]
    if find_spec(module) is None:
        raise DependencyMissing(
            f"bench {name} measures AltEraser itself; it comes with the source, not with the "
            "installed package. In the folder of the source, run: make bench, or pip install -e "
            "'.[bench]' and this command again",
            package=module,
            extra="bench",
        )
    run = getattr(importlib.import_module(module), name.replace("-", "_"))
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name, help=common.paragraphs(run.__doc__ or ""))(run)
    return typer.main.get_command(alone)
