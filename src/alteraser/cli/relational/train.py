"""Training a linear kind from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.cli import inputs
from alteraser.cli.beside import COMPOSITE, Beside
from alteraser.cli.outweighed import outweighed
from alteraser.cli.relational.sources import contexts_of
from alteraser.cli.screen import Screen, seconds_text, unrated_rows
from alteraser.cli.subject import Rows
from alteraser.errors import InvalidInput
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np

    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.side.given import Given
    from alteraser.data.side.sources import SetupFile, Sources
    from alteraser.models.relational.composite import CompositeModel
    from alteraser.models.relational.kind import LinearKind
    from alteraser.models.relational.model import LinearModel
    from alteraser.models.relational.setup import LinearSetup
else:
    np = late("numpy")

SETTINGS = (
    "factors",
    "missing_weight",
    "regularization",
    "seed",
    "max_passes",
    "biases",
    "feature_scaling",
    "continuation",
)
"""Options of ``train`` that say something of kind ``linear``"""
FAINT = 1e-8
"""Product of the largest entries of users and items up to which scores are rounding"""


def train(
    screen: Screen,
    kind: str,
    data: Path,
    out: Path,
    reading: ReadingOptions,
    given: dict[str, Any],
    threads: int,
    *,
    beside: Beside,
    context: str | None,
) -> int:
    """Train on DATA, and for kind ``linear`` on what is beside it; ``given``: the settings of the
    kind on the command line.
    """
    from alteraser.models.closed_form.rule import check_plain
    from alteraser.solvers.limits import DEFAULT
    from alteraser.verbs.relational import train as verb

    check_plain(reading, kind)
    settings: Any
    source: Any
    if kind == COMPOSITE:
        settings, source, reading = several(screen, data, reading, given, beside, context)
    else:
        settings, source = _alone(screen, kind, data, reading, given)
    _check_any(len(source if kind != COMPOSITE else source.main), data)
    with screen.passes("solve", "training", DEFAULT.distance, beyond=True):
        model = verb.train(settings, source, reading=reading, threads=threads)
    with screen.phase("write", f"writing {out}"):
        saved = model.save(out)
    seconds, trained, run = screen.timing(), saved.trained_on, saved.training
    short = None if run["converged"] else not_reached(saved)
    if kind == COMPOSITE:
        more, rows = _of_several(saved, source)
    else:
        more, rows = _of_interactions(saved, source)
    nothing = _outweighed(saved, source, threads)
    screen.result(
        {
            "model": str(out),
            "digest": saved.digest,
            "kind": kind,
            "method": "train",
            "seconds": seconds,
            "interactions": trained.interactions,
            "users": trained.users,
            "items": trained.items,
            "hyper_parameters": saved.settings.own(),
            "passes": run["passes"],
            "products": run["products"],
            "objective_after": run["objective"],
            "residual": run["residual"],
            "distance_from_rest": run["distance"],
            "converged": run["converged"],
            "not_reached": short,
            "continuation": run["continuation"],
            "warnings": [] if nothing is None else [nothing],
            **more,
        },
        [
            ("model", f"{out}: {kind}, {saved.settings.summary}"),
            (
                "interactions",
                f"{trained.interactions:,} of {trained.users:,} users and {trained.items:,} items",
            ),
            *rows,
            *came_down(saved),
            ("passes", f"{run['passes']:,}, and {run['products']:,} products to measure"),
            ("objective", f"{run['objective']:,.2f}"),
            *(
                [("rest", f"about {run['distance']:.1e} of the model's size from its optimum")]
                if run["distance"] is not None
                else []
            ),
            ("time", seconds_text(seconds)),
            *([] if short is None else [("not reached", short)]),
        ],
    )
    if nothing is not None:
        screen.warn(f"warning: {nothing}")
    return 0


def _outweighed(model: LinearModel, source: Any, threads: int) -> str | None:
    """Of a model whose every score is 0: why, and what to do."""
    from alteraser.runtime.workers import default_threads
    from alteraser.solvers.relational.collapse import critical_share

    if float(np.prod([abs(x).max(initial=0.0) for x in model.vectors])) > FAINT:
        return None
    problem = model.posed(model.settings, source).problem
    share = critical_share(problem, threads=threads or default_threads())
    own = model.settings.of_data[1]
    return outweighed(own, None if share is None else share * own)


def _alone(
    screen: Screen, kind: str, data: Path, reading: ReadingOptions, given: dict[str, Any]
) -> tuple[LinearKind, Interactions]:
    """(settings, DATA) for a kind that learns from interactions alone."""
    from alteraser.data.interactions import Interactions
    from alteraser.models.registry import LINEAR

    with inputs.options_named():
        settings = LINEAR[kind](**given)
    with screen.phase("read", f"reading {data}"):
        return settings, Interactions.read(data, reading)


def several(
    screen: Screen,
    data: Path,
    reading: ReadingOptions,
    given: dict[str, Any],
    beside: Beside,
    context: str | None,
) -> tuple[LinearSetup, Given, ReadingOptions]:
    """(settings, DATA and what is beside it, how that was read) for kind ``linear``."""
    from alteraser.data.sheet import Sheet
    from alteraser.data.side.sources import main_links, read_given, reading_with
    from alteraser.models.relational.setup import LinearSetup, RelationSetting

    other = next((name for name in given if name not in SETTINGS), None)
    if other is not None:
        raise InvalidInput(f"--{other.replace('_', '-')} means nothing to --model linear")
    sources, file = beside.sources(contexts_of(context))
    if beside.setup is not None:
        _check_file(file, beside.setup)
    reading = reading_with(sources, reading)
    # the file, and what the command line says instead
    chosen = dict(file.settings()) | {
        name: value for name, value in given.items() if name != "missing_weight"
    }
    if given.get("missing_weight") is not None:
        with inputs.options_named():
            weight = {"data": RelationSetting(missing_weight=given["missing_weight"])}
        chosen["relations"] = dict(chosen.get("relations", {})) | weight
    with inputs.options_named():
        settings = LinearSetup(**chosen)
    with screen.phase("read", f"reading {data}"):
        sheet = Sheet.read(data, reading, every_column=bool(sources.contexts))
        main = main_links(sheet, sources.contexts)
        _check_any(len(main), data)  # before a file beside them is said to be of nobody
        given_data = read_given(sheet, sources, main)
        _check_rows(given_data, sources)
        return settings, given_data, reading


def _check_any(rows: int, data: Path) -> None:
    if not rows:
        raise InvalidInput(f"{data} holds no interactions; there is nothing to train on")


def _check_rows(given: Given, sources: Sources) -> None:
    """InvalidInput for a file without rows, which says nothing of anybody."""
    there = {links.group for links in given.links}
    empty = [x.name for x in given.attributes.values() if not x.entities.ids.size]
    empty += [f"--relation {x.name}={x.path}" for x in sources.relations if x.name not in there]
    for name in empty:
        raise InvalidInput(f"{name}: it has no rows, so nothing is known of anybody; leave it out")


def _check_file(file: SetupFile, path: Path) -> None:
    """InvalidInput, naming ``path`` and the entry, for a value that a set-up cannot have."""
    from alteraser.models.relational.setup import LinearSetup
    from alteraser.settings import WrongSetting

    try:
        LinearSetup(**file.settings())
    except WrongSetting as cause:
        said = cause.message.removeprefix("LinearSetup: ")
        # DATA are no relation in a file: their w0 is at its top
        raise InvalidInput(f"{path}: {said.replace('relations.data.', '')}") from cause


def _of_interactions(model: LinearModel, data: Interactions) -> tuple[dict[str, Any], Rows]:
    """What there is to say of a model of interactions alone."""
    settings = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in model.settings.own().items()
    )
    return (
        {"rows_without_rating": data.unrated},
        [*unrated_rows(data), ("settings", settings)],
    )


def _of_several(model: CompositeModel, given: Given) -> tuple[dict[str, Any], Rows]:
    """What there is to say of a model of several sources."""
    from alteraser.data.side.sources import notes

    said = notes(given)
    document = {
        "tables": {name: x.shape[0] for name, x in model.tables.items()},
        "relations": {x.name: len(x) for x in given.links},
        "sources": dict(model.sources),
        "notes": said,
    }
    return document, [*_beside_rows(model, given), *(("note", note) for note in said)]


def _beside_rows(model: CompositeModel, given: Given) -> Rows:
    rows = []
    for table, blocks in model.blocks.items():
        said = [
            block.name + (f" ({block.ids.size:,} words)" if block.scale is None else " (a number)")
            for block in blocks
            if block.sort == "feature"
        ]
        if said:
            rows.append((f"{table} features", ", ".join(said)))
        contexts = [
            f"{block.name} ({block.ids.size:,})" for block in blocks if block.sort == "context"
        ]
        if contexts:
            rows.append(("contexts", ", ".join(contexts)))
    groups: dict[str, int] = {}
    for one in given.links[1:]:
        groups[one.group] = groups.get(one.group, 0) + len(one)
    rows += [(f"relation {name}", f"{count:,} rows") for name, count in groups.items()]
    return rows


def came_down(model: LinearModel) -> Rows:
    """From where the penalty did, if it was asked to; why not, where it did not."""
    if model.settings.continuation == 1.0:
        return []
    share = model.training["continuation"]
    if share > 1.0:
        return [("continuation", f"λ came down from {share:.3g} times itself")]
    return [
        (
            "continuation",
            "straight: at λ itself the last of the columns has not come to be, or only just",
        )
    ]


def not_reached(model: LinearModel) -> str:
    """Of a training that ended before its optimum: why, and what to do; the model is written."""
    run = model.training
    if run["passes"] >= model.settings.max_passes:
        return f"the cap of {run['passes']:,} passes: raise --max-passes to train on"
    return (
        f"no further than stationarity {run['residual']:.1e}: float64 holds no more digits; more "
        "--regularization helps"
    )
