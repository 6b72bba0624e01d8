"""alteraser forget"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import aftermath, again, common, completion, exact, foreign, item_tables, page, selecting, shortfall
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from alteraser.adapters.choose import Planned
    from alteraser.data.interactions import Interactions
    from alteraser.data.selection import Selection
    from alteraser.data.sums import Missing
    from alteraser.erasers import Eraser
    from alteraser.models.factorization.model import Model
    from alteraser.models.protocol import Recommender
    from alteraser.verbs.choose import Auto, Choice
    from alteraser.verbs.forget import Erasure
    from alteraser.verbs.forget_exactly import ExactErasure
    from alteraser.verbs.lists import ListsChanged

STOP = object()
DEFAULT_TOLERANCE = 1e-3


def forget(
    model: common.ModelArgument,
    data: Annotated[Path, typer.Option("--data", help="The data as trained on, or already without FORGET.")],
    forget_set: selecting.ForgetArgument = None,
    out: Annotated[Path | None, typer.Option("--out", help="The new model directory.", show_default=False)] = None,
    method: Annotated[str, typer.Option("--method", autocompletion=completion.METHOD,
                                        help="auto: converge for a model at rest, else replay or local. "
                                              "Also retrain, warm-start, retrain-adamw, influence, global-newton; "
                                              "alteraser is converge.")] = "auto",
    solver: Annotated[
        str | None, typer.Option("--solver", autocompletion=completion.SOLVER,
                                 help="joint (Newton on both sides), ah-newton (exact rows), cg, "
                                 "…; for warm-start and retrain-adamw: adamw, adam or sgd.", show_default="joint"),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="Share of the deletion's push that may stay (local: of what it "
                                   "changed; what training left stays).",
                                   show_default="1e-3"),
    ] = None,
    max_passes: Annotated[
        int | None, typer.Option("--max-passes", min=1, help="Cap on passes.", show_default="the method's")
    ] = None,
    memory: Annotated[
        int | None, typer.Option("--memory", min=0, help="Passes that acceleration combines; 0 for plain ones.",
                                 show_default="6"),
    ] = None,
    confirm: common.Confirm = False,
    stop_at_tolerance: Annotated[
        bool, typer.Option("--stop-at-tolerance", help="Do not go on until the model is measured to be class C.")
    ] = False,
    accept: Annotated[
        str | None, typer.Option("--accept", metavar="d", help="d: end with 0 also where the level that was asked for, "
                                 "or the default one, is not reached; the class stays as it is.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of a retrain's random start, or of mini-batches.",
                                 show_default="1"),
    ] = None,
    whole_users: Annotated[
        bool, typer.Option("--whole-users", help="Forget everything of the users in FORGET.")
    ] = False,
    whole_items: Annotated[
        bool, typer.Option("--whole-items", help="Forget everything of the items in FORGET.")
    ] = False,
    user: selecting.User = None,
    since: selecting.Since = None,
    until: selecting.Until = None,
    older_than: selecting.OlderThan = None,
    as_of: selecting.AsOf = None,
    timestamp_column: selecting.TimestampColumn = None,
    session: selecting.Session = None,
    basket: selecting.Basket = None,
    strict: selecting.Strict = False,
    grown: Annotated[
        bool, typer.Option("--grown", help="DATA also has interactions added since; learn them along.")
    ] = False,
    readmit: Annotated[
        bool, typer.Option("--readmit", help="With --grown: also learn what was erased from MODEL before.")
    ] = False,
    remaining: Annotated[
        Path | None,
        typer.Option("--remaining", help="Write the remaining data here, every column kept.", show_default=False),
    ] = None,
    report: page.Report = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be forgotten; write nothing.")] = False,
    format: foreign.Format = None,
    users_map: foreign.UsersMap = None,
    items_map: foreign.ItemsMap = None,
    rows_are_ids: foreign.RowsAreIds = False,
    rating: foreign.Rating = None,
    user_column: foreign.UserColumn = None,
    item_column: foreign.ItemColumn = None,
    threshold: foreign.Threshold = None,
    threshold_column: foreign.ThresholdColumn = None,
    duplicates: foreign.Duplicates = None,
    columns: foreign.Columns = None,
    separator: foreign.Separator = None,
    decimal: foreign.Decimal = None,
    layout: foreign.Layout = None,
    alpha: foreign.Alpha = None,
    regularization: foreign.Regularization = None,
    missing_weight: foreign.MissingWeight = None,
    loss: foreign.LossName = None,
    implicit: foreign.Feedback = None,
    allow_pickle: foreign.AllowPickle = False,
    purged: foreign.Purged = False,
    unchecked: foreign.Unchecked = False,
    scrub: foreign.Scrub = False,
    threads: common.Threads = 0,
    verbose: common.Verbose = False,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> int:  # fmt: skip
    """Make MODEL forget FORGET and write the result as a new model.

    MODEL and DATA are never changed. Rows of FORGET that match nothing are counted and listed. MODEL may also be
    another library's file: it is told by its content, checked against DATA, and comes back as the same kind of file.

    MovieLens-1M takes 8 s of processor time, an ALS model of implicit 5 to 7, a --dry-run 3.

    Example: alteraser forget model forget.csv --data ratings.csv --out model-2

    Example: alteraser forget als.npz forget.csv --data plays.parquet --rating plays --rows-are-ids --out als-2.npz
    """
    from alteraser.data.erased import check_beside
    from alteraser.data.files import check_output
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.remaining import below_threshold, remaining_rows
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.models.factorization.model import Model
    from alteraser.verbs.forget import match, plan, unlearn
    from alteraser.verbs.forget_exactly import ExactErasure

    groups = selecting.grouped(session, basket)
    ends = selecting.ending(until, older_than, as_of)
    selecting.check(forget_set, user, since, ends, groups)
    if whole_users and whole_items:
        raise InvalidInput("--whole-users contradicts --whole-items: forget one after the other")
    if accept not in (None, "d"):
        raise InvalidInput(f"--accept {accept}: there is d, for a class D that is to end with exit code 0")
    if out is None and not dry_run:
        raise InvalidInput("--out is missing: name the new model directory, or ask for a --dry-run")
    outputs = [path for path in (out, remaining) if path is not None]
    if len({path.absolute() for path in outputs}) < len(outputs):
        raise InvalidInput("--out and --remaining name the same path")
    again.check_outputs(out, remaining, scrub=scrub, report=report)
    for path in outputs:
        _check_outside(path, model)
    if out is not None:
        check_beside(out)
    if remaining is not None:
        _check_remaining(remaining, data)
    if report is not None:
        if dry_run:
            raise InvalidInput("--report is about what was done: it does not go with --dry-run")
        if report.absolute() in {path.absolute() for path in outputs}:
            raise InvalidInput("--report names the path of another output")
        check_output(report)
        _check_outside(report, model)
    screen = common.Screen(json, quiet, page=report)
    given = {
        "users_map": users_map, "items_map": items_map, "rows_are_ids": rows_are_ids or None, "rating": rating,
        "user_column": user_column, "item_column": item_column, "threshold": threshold,
        "threshold_column": threshold_column, "duplicates": duplicates, "columns": columns,
        "separator": separator, "decimal": decimal, "layout": layout, "alpha": alpha,
        "regularization": regularization, "missing_weight": missing_weight, "loss": loss, "implicit": implicit,
        "allow_pickle": allow_pickle or None,
    }  # fmt: skip
    table = item_tables.recognized(model, format)
    if table is not None:
        foreign.refuse(
            {"solver": solver, "memory": memory, "confirm": confirm, "stop_at_tolerance": stop_at_tolerance,
             "tolerance": tolerance, "max_passes": max_passes, "seed": seed, "grown": grown, "session": session,
             "basket": basket, "purged": purged, "scrub": scrub},
            f"means nothing to {model}, a table of items",
        )  # fmt: skip
        return item_tables.forget(
            screen, table, model, forget_set, data, out, given, method=method, whole_users=whole_users,
            whole_items=whole_items, users=user, since=since, until=ends, timestamp_column=timestamp_column,
            strict=strict, remaining=remaining, dry_run=dry_run, unchecked=unchecked, readmit=readmit, verbose=verbose,
            threads=threads,
        )  # fmt: skip
    if foreign.is_foreign(model, format, given):
        foreign.refuse(
            {"solver": solver, "memory": memory, "confirm": confirm, "stop_at_tolerance": stop_at_tolerance,
             "grown": grown, "session": session, "basket": basket},
            f"means nothing to {model}, a model of another library",
        )  # fmt: skip
        code = foreign.forget(
            screen, model, forget_set, data, out, given, format=format, method=method, tolerance=tolerance,
            max_passes=max_passes, seed=seed, whole_users=whole_users, whole_items=whole_items, remaining=remaining,
            dry_run=dry_run, unchecked=unchecked, scrub=scrub, readmit=readmit, verbose=verbose, threads=threads,
            users=user, since=since, until=ends, timestamp_column=timestamp_column, strict=strict, purged=purged,
        )  # fmt: skip
        return 0 if accept == "d" else code  # what went wrong altogether was raised
    foreign.refuse(
        given | {"unchecked": unchecked, "scrub": scrub, "purged": purged},
        "is for models of other libraries: how its data are read is kept in the model",
    )
    if readmit and not grown:
        raise InvalidInput("--readmit is about additions: it goes with --grown")
    common.check_tolerance(tolerance)
    wished = shortfall.Asked(tolerance, max_passes, stop_at_tolerance, solver, accept)
    settings = {
        "solver": solver, "tolerance": tolerance, "max_passes": max_passes, "memory": memory, "seed": seed,
        "confirm": confirm,
    }  # fmt: skip
    asked: Any = method
    if exact.is_exact(model):
        exact.refuse(model, method, settings | {"stop_at_tolerance": stop_at_tolerance})
    else:
        asked = _asked(method, settings | {
            "limits": STOP if stop_at_tolerance else None, "escalate": None if max_passes is None else STOP
        })  # fmt: skip
    with screen.phase("read", "reading"):
        original = common.load_model(model)
        if out is not None:
            original = replace(original, erased=original.erased.going_to(out))
        reading = original.reading or ReadingOptions()
        eraser: Any = asked
        if isinstance(original, Model) and isinstance(asked, tuple):
            eraser = _eraser(asked[0], asked[1], original)
        reading = selecting.timed(reading, timestamp_column, window=since is not None or ends is not None)
        selection = selecting.selected(
            forget_set, reading, whole_users=whole_users, whole_items=whole_items, users=user, since=since, until=ends,
            names=common.NOT_ASKED, groups=groups,
        )  # fmt: skip
        selecting.check_ids(forget_set, selection, original.users, original.items)
        interactions = common.read_as(reading, data, names={"timestamp_column": "--timestamp-column"})
        found = match(
            original, selection, interactions, grown=grown, readmit=readmit, strict=strict,
            below=below_threshold(data, reading, (original.users, original.items)),
        )  # fmt: skip
    removal = found.removal
    if dry_run:
        planned = None if isinstance(original, ExactModel) else plan(original, found, eraser, threads=threads)
        return report_dry_run(screen, removal, found.data, planned, verbose=verbose, missing=found.missing)
    if remaining is not None and again.is_left_over(out, remaining):  # not after the work
        with screen.phase("read", "comparing with what an earlier run wrote"):
            again.check_same(
                again.table(lambda: remaining_rows(data, removal.removed, reading, removal.selection)), remaining
            )
    goal = getattr(eraser, "tolerance", DEFAULT_TOLERANCE)
    with screen.passes("solve", "forgetting", goal, beyond=not stop_at_tolerance) as on_pass:
        erasure = unlearn(
            original, found, method=eraser, threads=threads, on_pass=on_pass,
            on_choice=lambda choice, lists: _warn(screen, choice, lists),
        )  # fmt: skip
    with screen.phase("write", "writing"):
        assert out is not None
        saved = _write(erasure, out, remaining, data, reading, removal.selection)
    if isinstance(erasure, ExactErasure):
        return exact.report(screen, erasure, saved, out, remaining, interactions, verbose=verbose)
    _report(screen, erasure, saved, out, remaining, method, interactions, wished, verbose=verbose)
    return shortfall.exit_code(erasure, wished, screen)


def _warn(screen: common.Screen, choice: Choice, lists: Callable[[], ListsChanged]) -> None:
    """Before going to an optimum that training never reached: that is another training, and moves everybody."""
    if choice.method != "converge" or choice.at_rest or not choice.effect:
        return
    found = lists()
    left = "L bends down where training ended" if choice.rest is None else (
        f"training ended {choice.rest:.1e} of the model's size from its optimum"
    )  # fmt: skip
    screen.note(
        f"note: {left}, the deletion's own rows move {choice.effect:.1e}: going there finishes the training. By "
        f"estimate the top-10 of {found.changed:.0%} of the other users will change (overlap {found.overlap:.2f}); "
        "--method local changes what the deletion changes"
    )


def _asked(method: str, given: dict[str, Any]) -> Auto | tuple[str, dict[str, Any]]:
    """``auto`` or one of its ways with what they share, or (an eraser's name, its settings); reads nothing.

    Options that only going to an optimum has mean that one.
    """
    from alteraser.verbs.choose import WAYS, Auto

    only = [
        name
        for name in ("solver", "memory", "confirm", "limits")
        if given[name] is not None and given[name] is not False
    ]
    if method in ("auto", "converge") and only:
        return "converge", _settings("converge", given)
    if method != "auto" and method not in WAYS:
        return method, _settings(method, given)
    for name in (*only, *(["seed"] if given["seed"] is not None else [])):
        shown = "stop-at-tolerance" if name == "limits" else name
        raise InvalidInput(f"--{shown} means nothing to --method {method}")
    if method == "replay" and given["tolerance"] is not None:
        raise InvalidInput("--tolerance means nothing to --method replay, which stops where the training did")
    way = None if method == "auto" else next(way for way in WAYS if way == method)
    tolerance = DEFAULT_TOLERANCE if given["tolerance"] is None else given["tolerance"]
    return Auto(way, tolerance, given["max_passes"])


def _settings(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """Settings of the eraser called ``method`` from the options that were given; InvalidInput for one it does not have.

    Nothing is read for it, so that a mistyped option is told at once.
    """
    from alteraser.erasers import accepted, eraser
    from alteraser.solvers import strategy

    known = accepted(method)
    if "finish" in known:  # the default level is class C, whoever solves the rows
        given = given | {"finish": True}
    settings = {name: value for name, value in given.items() if value is not None and value is not False}
    if "escalate" not in known:  # a cap on passes that was asked for is a cap
        settings.pop("escalate", None)
    for name in settings:
        if name == "limits" and name not in known:
            raise InvalidInput(f"--stop-at-tolerance means nothing to --method {method}")
        if name not in known:
            raise InvalidInput(f"--{name.replace('_', '-')} means nothing to --method {method}")
    for name, off in (("limits", None), ("escalate", False)):
        if settings.get(name) is STOP:
            settings[name] = off
    if "solver" in settings and method in ("alteraser", "converge", "retrain"):
        strategy(settings["solver"])
    eraser(method, **settings)  # for what it refuses itself
    return settings


def _eraser(method: str, settings: dict[str, Any], model: Model) -> Eraser:
    """The eraser called ``method`` for ``model``."""
    from alteraser.erasers import accepted, eraser

    if model.trains_prediction and "train_prediction" in accepted(method):
        settings = settings | {"train_prediction": True}
    return eraser(method, **settings)


def _check_outside(output: Path, model: Path) -> None:
    """Refuse an output inside the folder of MODEL, which is never changed."""
    if model.is_dir() and model.resolve() in output.resolve().parents:
        raise InvalidInput(f"{output} is inside {model}, which stays as it is. Choose an output elsewhere.")


def _check_remaining(remaining: Path, data: Path) -> None:
    """Refuse before the work what could only be refused after it."""
    from alteraser.data.readers import writer_for

    try:
        writer_for(remaining)
    except InvalidInput as cause:
        raise InvalidInput(f"--remaining {cause.message}", **cause.details) from cause
    table = data / "interactions.parquet"
    table = table if table.exists() else data  # all of a folder is its table, but for that
    if table.is_dir() and table.resolve() in remaining.resolve().parents:
        raise InvalidInput(
            f"--remaining {remaining}: inside {data} it would become a part of the data; put it elsewhere"
        )


def _write(
    erasure: Erasure | ExactErasure, out: Path, remaining: Path | None, data: Path, reading: Any, selection: Selection
) -> Recommender:  # fmt: skip
    """Both outputs or neither: the remaining data first, taken back if the model cannot be written."""
    if remaining is None:
        return erasure.save(out)
    from alteraser.data.remaining import remaining_rows

    own = again.written(again.table(lambda: remaining_rows(data, erasure.removed, reading, selection)), remaining)
    try:
        return erasure.save(out)
    except BaseException:
        if own:
            remaining.unlink(missing_ok=True)
        raise


def report_dry_run(
    screen: common.Screen,
    removal: Any,
    interactions: Any,
    planned: Choice | Planned | None = None,
    *,
    verbose: bool = False,
    missing: Missing | None = None,
) -> int:
    """Show what would be forgotten, and where ``planned`` says it, how and at what cost."""
    users, items, emptied = (
        len(rows) for rows in (removal.touched_users, removal.touched_items, removal.emptied_users)
    )
    before = removal.remaining.count + removal.count
    document = {
        "dry_run": True, "interactions_before": before, "interactions_forgotten": removal.count,
        **selecting.gone_document(missing), **selecting.document(removal), "rows_without_rating": interactions.unrated,
        "users_touched": users, "items_touched": items, "users_erased_whole": emptied,
        **({} if planned is None else _chosen(planned)),
        "seconds": screen.timing(),
    }  # fmt: skip
    screen.result(
        document,
        [
            ("would forget", f"{removal.count:,} of {before:,} interactions"),
            *selecting.gone_rows(missing),
            ("of", f"{users:,} users ({emptied:,} of them whole) and {items:,} items"),
            *selecting.rows(removal, None, verbose=verbose),
            *common.unrated_rows(interactions),
            *(
                []
                if planned is None
                else [
                    ("method", f"{planned.method}: {planned.why}"),
                    ("would take", _seconds(planned)),
                ]
            ),
        ],
        "dry run: nothing was written",
    )
    return 0


def _chosen(choice: Choice | Planned) -> dict[str, Any]:
    """What a document says of a choice."""
    from alteraser.verbs.choose import Choice

    rest = {}
    if isinstance(choice, Choice):
        rest = {"at_rest": choice.at_rest, "distance_from_rest": choice.rest, "rows_effect": choice.effect}
    return {
        "method": choice.method, "why": choice.why, **rest, "seconds_predicted": choice.seconds,
        "refit_seconds_predicted": choice.refit_seconds,
    }  # fmt: skip


def _seconds(choice: Choice | Planned) -> str:
    parts = ["not known beforehand" if choice.seconds is None else f"about {choice.seconds:.2g} s"]
    if choice.refit_seconds is not None:
        parts.append(f"training without the data about {choice.refit_seconds:.2g} s")
    return "; ".join(parts) + " (predicted)"


def _report(
    screen: common.Screen, erasure: Erasure, saved: Recommender, out: Path, remaining: Path | None, asked: str,
    data: Interactions, wished: shortfall.Asked, *, verbose: bool,
) -> None:  # fmt: skip
    seconds = screen.timing()
    outcome = erasure.outcome
    document = {
        "model": str(out), "digest": saved.digest, "parent": saved.parent,
        **({} if erasure.choice is None else _chosen(erasure.choice)),
        "method": erasure.method, "method_asked": asked, "effect_left": erasure.effect_left,
        "effect": None if outcome.effect is None else vars(outcome.effect),
        **aftermath.document(erasure.lists, erasure.again),
        "solver": saved.training["solver"], **common.work(outcome), "objective_before": erasure.objective_before,
        "converged": erasure.reached(wished.tolerance), "class": erasure.kind, "class_name": erasure.class_name,
        "sentence": erasure.sentence, "measured": None if outcome.measured is None else vars(outcome.measured),
        "push": erasure.push, "training_floor": erasure.training_floor, "seconds": seconds,
        "interactions_before": len(erasure.remaining) + erasure.forgotten,
        **selecting.gone_document(erasure.missing), "interactions_forgotten": erasure.forgotten,
        "interactions_added": erasure.added, "users_added": erasure.joined[0], "items_added": erasure.joined[1],
        "interactions_readmitted": 0 if erasure.returned is None else len(erasure.returned),
        **selecting.document(erasure),
        "rows_without_rating": data.unrated, "remaining": None if remaining is None else str(remaining),
        "users": saved.trained_on.users, "items": saved.trained_on.items,
        "trace": [vars(record) for record in erasure.trace],
    }  # fmt: skip
    rows = [
        ("model", str(out)),
        ("forgotten", f"{erasure.forgotten:,} interactions; {len(erasure.remaining):,} remain"),
        *selecting.gone_rows(erasure.missing),
        *added_rows(erasure),
        *selecting.rows(erasure, remaining, verbose=verbose),
        *common.unrated_rows(data),
        ("method", erasure.method + (f": {erasure.choice.why}" if erasure.choice is not None else "")),
        ("passes", f"{outcome.passes}, {outcome.rows_updated:,} rows solved"),
        _residual(erasure),
        *_measured(erasure),
        *aftermath.rows(erasure.lists, erasure.again),
        aftermath.time(seconds, None if erasure.choice is None else erasure.choice.refit_seconds),
    ]  # fmt: skip
    if outcome.effect is None and erasure.training_floor is not None and erasure.training_floor > 1:
        rows.append(
            ("note", f"the original's training had left {erasure.training_floor:.1f} times this deletion's push; "
                     "the new model is also better trained than the original was")
        )  # fmt: skip
    screen.result(document, rows)


def added_rows(erasure: Erasure | ExactErasure) -> list[tuple[str, str]]:
    """For people: what was learned along."""
    if not erasure.added:
        return []
    users, items = erasure.joined
    rows = [("added", f"{erasure.added:,} interactions since, of {users:,} new users and {items:,} new items, learned")]
    if erasure.returned is not None and len(erasure.returned):
        rows.append(("readmitted", f"{len(erasure.returned):,} interactions that were erased from this model before"))
    return rows


def _residual(erasure: Erasure) -> tuple[str, str]:
    outcome = erasure.outcome
    if erasure.method == "replay":
        return "stationarity", f"{outcome.residual:.1e}, as the training would have ended; class A, verify replays it"
    left = "of the deletion's push" if outcome.effect is None else "of what the deletion changed is left"
    return "residual", f"{outcome.residual:.1e} {left}" + ("" if outcome.converged else "  (not converged)")


def _measured(erasure: Erasure) -> list[tuple[str, str]]:
    found, outcome = erasure.outcome.measured, erasure.outcome
    rows = []
    if found is not None:
        rows.append(
            ("distance", f"about {found.distance:.1e} of the model's size to an optimum for the remaining data"
                         + (f"; class {erasure.kind}, verify recomputes it" if erasure.kind != "D" else ""))
        )  # fmt: skip
    if outcome.effect is not None and erasure.kind in ("L", "D"):
        left = "" if erasure.effect_left is None else f", about {erasure.effect_left:.1%} of its effect is missing"
        rows.append(("class", f"{erasure.kind}{left}; verify --before OLD --forgotten FORGET recomputes it"))
    else:
        rows.append(("class", f"{erasure.kind}: {erasure.class_name}"))
    if erasure.kind != "C" or found is None:  # else the distance says it
        rows.append(("", erasure.sentence + (f" ({erasure.level.lacks})" if erasure.level.lacks else "")))
    if outcome.effect is not None and outcome.effect.bent:
        rows.append(
            (
                "note",
                "L bends down near the original: it is not near an optimum in that direction, so its "
                "weakest directions are left as they were",
            )
        )
    if "retrain" in outcome.route:
        rows.append(("note", "passes and joint steps did not get there: retrained from a random start"))
    if outcome.reason == "rounding" and not outcome.converged:
        rows.append(
            ("note", f"{erasure.model.factors.dtype} holds no more digits: train with --dtype float64 or more "
                     "--regularization, or ask for a larger --tolerance")
        )  # fmt: skip
    return rows
