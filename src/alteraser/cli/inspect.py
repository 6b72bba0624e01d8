"""alteraser inspect"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common, exact, foreign_options, inputs
from alteraser.cli.examining import InspectRequest
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen, unrated_rows
from alteraser.cli.subjects import lying
from alteraser.errors import IntegrityError, InvalidInput

if TYPE_CHECKING:
    from alteraser.adapters.contract import Foreign
    from alteraser.models.protocol import Recommender


@grouped
def inspect(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Another library's model, or one of alteraser train."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="The data as trained on: also check that they fit.", show_default=False
        ),
    ] = None,
    *,
    theirs: foreign_options.Reading,
    talk: common.Talk,
) -> int:
    """Tell what MODEL is: kind, shapes, hyper-parameters, and what else holds data. Nothing is
    written.

    With --data the self-check is made that forget makes before it changes anything; exit code 6
    where it fails.

    MovieLens-1M takes 2 s of processor time with --data, and less without.

    Example: alteraser inspect model.npz --data plays.parquet --rating plays --rows-are-ids
    """
    screen = Screen(talk.json, talk.quiet)
    asked = InspectRequest(screen, model, data, theirs, talk)
    answered: int = lying(model, theirs).answering("inspect")(asked)
    return answered


def theirs(asked: InspectRequest) -> int:
    """For another library's model."""
    from alteraser.adapters.asked import checked
    from alteraser.adapters.forget import Opened, found_siblings, open_foreign
    from alteraser.adapters.zeros import zero_words
    from alteraser.cli import foreign
    from alteraser.data.interactions import Interactions

    screen, model, data, talk = asked.screen, asked.model, asked.data, asked.talk
    options = foreign_options.options_from(asked.theirs)
    adapter = checked(model, options, asked.theirs.format)
    foreign_options.warn_of_pickles(screen, asked.theirs)
    check = None
    with screen.phase("read", "reading"):
        if data is None:
            read = adapter.read(model, options)
            opened = Opened(adapter, read, Interactions.from_pairs([]), options, None)
        else:
            opened = open_foreign(model, data, options, format=asked.theirs.format)
    found = opened.foreign
    if data is not None:
        with screen.phase("check", "checking"):
            check = found.loss.check(found, opened.data, threads=talk.threads)
    siblings, zero = (
        found_siblings(opened),
        zero_words(found, None if data is None else opened.data),
    )
    document = _facts(found) | {
        "model": str(model),
        "siblings": [foreign.sibling_document(sibling) for sibling in siblings],
        "self_check": None if check is None else check.to_document() | {"hint": zero or check.hint},
        "numerically_zero": zero is not None,
        "rows_without_rating": opened.data.unrated,
        "seconds": screen.timing(),
    }
    rows = [
        ("model", f"{model}: {found.library or found.format} {found.kind}"),
        *_fact_rows(found),
        ("self-check", "give --data to make it" if check is None else foreign.check_words(check)),
        *(
            []
            if check is None or check.passed or zero
            else [("", check.hint), ("furthest off", _worst(check))]
        ),
        *([("note", zero)] if zero else []),
        *unrated_rows(opened.data),
        *foreign.sibling_rows(siblings, verbose=talk.verbose),
    ]
    screen.result(document, rows)
    return 0 if check is None or check.passed else IntegrityError.exit_code


def _facts(found: Foreign) -> dict[str, Any]:
    """What a file holds, for the document."""
    m, n, d = found.shape
    return {
        "format": found.format,
        "kind": found.kind,
        "library": found.library or None,
        "users": m,
        "items": n,
        "factors": d,
        "dtype": found.users.dtype.name,
        "bytes": found.nbytes,
        "biases": {"users": found.user_biases is not None, "items": found.item_biases is not None},
        "hyperparameters": dict(found.hyperparameters),
        "loss": {"name": found.loss.name, "formula": found.loss.formula},
        "id_maps": found.ids_from,
        "holds": [vars(holding) for holding in found.holds],
    }


def _fact_rows(found: Foreign) -> list[tuple[str, str]]:
    """The same for people."""
    m, n, d = found.shape
    return [
        (
            "shape",
            f"{m:,} users, {n:,} items, {d} factors, {found.users.dtype}, "
            f"{found.nbytes / 2**20:,.1f} MiB",
        ),
        ("loss", found.loss.formula),
        (
            "hyper-parameters",
            ", ".join(f"{name} {value}" for name, value in found.hyperparameters.items()),
        ),
        (
            "id maps",
            found.ids_from
            or "none in the file: give --users-map and --items-map, or --rows-are-ids",
        ),
        *[
            ("also holds", f"{holding.name}: {holding.what}; {holding.scrubbed}")
            for holding in found.holds
        ],
    ]


def _worst(check: Any) -> str:
    return ", ".join(
        f"{fault.side} row {fault.row} ({fault.value:.2g})" for fault in check.worst[:10]
    )


def ours(asked: InspectRequest) -> int:
    """The same for a model of ours, whose data are known by their digest."""
    asked.check_ours()
    screen, model, data = asked.screen, asked.model, asked.data
    with screen.phase("read", "reading"):
        loaded = inputs.load_model(model)
        fits = None if data is None else _fits(loaded, data)
    settings, own, told, kept = _kept(loaded)
    m, n = loaded.shape
    document = {
        "model": str(model),
        "format": "alteraser",
        "kind": loaded.kind,
        "users": m,
        "items": n,
        **own,
        "hyperparameters": settings,
        "digest": loaded.digest,
        "parent": loaded.parent,
        "trained_on": loaded.trained_on.to_document(),
        "training": dict(loaded.training),
        "id_maps": "the container",
        "holds": [],
        "siblings": [],
        "self_check": None
        if fits is None
        else {"passed": not fits, "measures": [], "worst_rows": [], "hint": fits},
        "seconds": screen.timing(),
    }
    trained = loaded.trained_on
    rows = [
        ("model", f"{model}: alteraser {loaded.kind}"),
        ("shape", f"{m:,} users, {n:,} items, {kept}"),
        *told,
        (
            "hyper-parameters",
            ", ".join(f"{name} {value}" for name, value in settings.items()) or "none",
        ),
        (
            "trained on",
            f"{trained.interactions:,} interactions of {trained.users:,} users and "
            f"{trained.items:,} items",
        ),
        (
            "data",
            "give --data to compare"
            if fits is None
            else fits or "these are the data it stands for",
        ),
    ]
    screen.result(document, rows)
    return IntegrityError.exit_code if fits else 0


def _fits(model: Recommender, data: Path) -> str:
    """Nothing where ``data`` are those that ``model`` stands for, else what differs."""
    from alteraser.verbs.forget import belongs

    try:
        belongs(model, inputs.read_for(model, data))
    except (IntegrityError, InvalidInput) as cause:
        return cause.message
    return ""


def _kept(model: Any) -> tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]], str]:
    """(its settings, what it holds for a document, more of that for people, its size in words)."""
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.models.relational.plain import PlainModel

    if isinstance(model, ExactModel):
        size = sum(array.nbytes for array in model.state.values())
        own: dict[str, Any] = {
            "bytes": size,
            "arrays": {name: list(array.shape) for name, array in model.state.items()},
            "state": exact.told(model),
        }
        words = f"{model.settings.summary}, {size / 2**20:,.1f} MiB"
        return model.settings.model_dump(), own, exact.told_rows(model), words
    factors = model.factors
    own = {"factors": factors.rank, "dtype": factors.dtype.name, "bytes": factors.nbytes}
    if isinstance(model, PlainModel):
        own |= {
            "factors": model.settings.factors,
            "bytes": factors.nbytes + sum(E.nbytes for E in model.tables.values()),
            "arrays": {name: list(E.shape) for name, E in model.tables.items()},
        }
        words = f"{model.settings.factors} factors, {model.settings.summary}"
        return model.settings.own(), own, [], words
    settings = model.objective.model_dump(exclude_none=True)
    return settings, own, [], f"{factors.rank} factors, {factors.dtype}"
