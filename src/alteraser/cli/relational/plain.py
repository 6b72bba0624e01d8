"""Linear kinds from the command line: training one, and forgetting in one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import common, foreign_options
from alteraser.cli.ours import Ours
from alteraser.cli.subject import Rows
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.deletion import Deletion
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.relational.model import LinearModel
    from alteraser.verbs.erasure import Erasure


def train(
    screen: common.Screen,
    kind: str,
    data: Path,
    out: Path,
    reading: ReadingOptions,
    given: dict[str, Any],
    threads: int,
) -> int:
    """Train on ``data``; ``given`` are the settings of the kind that the command line gives."""
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form.rule import check_plain
    from alteraser.models.registry import LINEAR
    from alteraser.solvers.limits import DEFAULT
    from alteraser.verbs.relational.plain import train_linear

    check_plain(reading, kind)
    with common.options_named():
        settings = LINEAR[kind](**given)
    with screen.phase("read", f"reading {data}"):
        interactions = Interactions.read(data, reading)
    if len(interactions) == 0:
        raise InvalidInput(f"{data} holds no interactions; there is nothing to train on")
    with screen.passes("solve", "training", DEFAULT.distance, beyond=True):
        model = train_linear(settings, interactions, reading=reading, threads=threads)
    with screen.phase("write", f"writing {out}"):
        saved = model.save(out)
    seconds, trained, run = screen.timing(), saved.trained_on, saved.training
    short = None if run["converged"] else not_reached(saved)
    screen.result(
        {
            "model": str(out),
            "digest": saved.digest,
            "kind": kind,
            "method": "train",
            "seconds": seconds,
            "interactions": trained.interactions,
            "rows_without_rating": interactions.unrated,
            "users": trained.users,
            "items": trained.items,
            "hyper_parameters": saved.settings.own(),
            "passes": run["passes"],
            "products": run["products"],
            "objective_after": run["objective"],
            "distance_from_rest": run["distance"],
            "converged": run["converged"],
            "not_reached": short,
        },
        [
            ("model", f"{out}: {kind}, {saved.settings.summary}"),
            (
                "interactions",
                f"{trained.interactions:,} of {trained.users:,} users and {trained.items:,} items",
            ),
            *common.unrated_rows(interactions),
            ("settings", settings_text(saved)),
            ("passes", f"{run['passes']:,}, and {run['products']:,} products to measure"),
            ("objective", f"{run['objective']:,.2f}"),
            *(
                [("rest", f"about {run['distance']:.1e} of the model's size from its optimum")]
                if run["distance"] is not None
                else []
            ),
            ("time", common.seconds_text(seconds)),
            *([] if short is None else [("not reached", short)]),
        ],
    )
    return 0


def settings_text(model: LinearModel) -> str:
    """``factors 64, layers 2``"""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in model.settings.own().items()
    )


def not_reached(model: LinearModel) -> str:
    """Of a training that ended before its optimum: why, and what to do; the model is written."""
    run = model.training
    if run["passes"] >= model.settings.max_passes:
        return f"the cap of {run['passes']:,} passes: raise --max-passes to train on"
    return (
        f"no further than stationarity {run['residual']:.1e}: float64 holds no more digits; more "
        "--regularization helps"
    )


class Linear(Ours):
    """A linear kind, which goes to the optimum for what remains."""

    def check_method(self, settings: dict[str, Any]) -> None:
        """Only its ways, and nothing that is for models with factors of their own."""
        from alteraser.models.folder import kind_at
        from alteraser.verbs.relational.plain import check_method

        kind = kind_at(self.asked.model)
        check_method(kind, self.asked.how.method)
        foreign_options.refuse(
            settings | {"stop_at_tolerance": self.asked.how.stop_at_tolerance},
            f"means nothing to a model of kind {kind}",
        )

    def forget(self, found: Deletion) -> Erasure[Any]:
        """Passes under a bar."""
        from alteraser.solvers.limits import DEFAULT
        from alteraser.verbs.forget import unlearn

        how, talk = self.asked.how, self.asked.talk
        with self.screen.passes("solve", "forgetting", DEFAULT.residual, beyond=True):
            return unlearn(self.model, found, method=how.method, threads=talk.threads)

    def title(self, erasure: Erasure[Any]) -> str:
        """The kind."""
        return f": {erasure.model.kind}"

    def standing(self, erasure: Erasure[Any]) -> Rows:
        """Which way, how far it got, and which class that is."""
        work, measured = erasure.work, erasure.details["measured"]
        why = erasure.way.why
        return [
            ("method", erasure.method + (f": {why}" if why is not None else "")),
            ("passes", f"{work.passes:,}, and {work.products:,} products to measure"),
            ("residual", f"{work.residual:.1e} of the deletion's push"),
            (
                "distance",
                f"about {measured['distance']:.1e} of the model's size to an optimum for the "
                "remaining data",
            ),
            ("class", f"{erasure.kind}: {erasure.class_name}"),
            ("", erasure.sentence),
        ]

    def shortfall(self, erasure: Erasure[Any]) -> str:
        """What was not reached, and the remedy."""
        return (
            f"not reached: {erasure.evidence.lacks or 'the optimum'}; the model was written and is "
            f"class {erasure.kind} ({erasure.class_name}). Try --method retrain, or train with "
            "more --regularization"
        )
