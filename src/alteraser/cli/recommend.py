"""alteraser recommend"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common, inputs, selecting
from alteraser.cli.beside import PANEL, Beside
from alteraser.cli.options import grouped
from alteraser.cli.screen import Screen
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.data.selection import Selection
    from alteraser.models.protocol import Recommender


@grouped
def recommend(
    model: common.ModelArgument,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="A user id; may be repeated.", show_default=False),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Every user of the model.")] = False,
    segment: Annotated[
        list[str] | None,
        typer.Option(
            "--segment",
            help="A segment (popularity by --segment-column), for who is not known; may be "
            "repeated.",
            show_default=False,
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Length of a list.")] = 10,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Interactions to leave out of the lists.", show_default=False),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            "--exclude",
            help="Items to leave out for everybody (item_id alone), or for their user (user_id "
            "and item_id), such as what was forgotten.",
            show_default=False,
        ),
    ] = None,
    among: common.Among = None,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME=VALUE,…",
            help="Lists for a context, such as weekday=monday,daytime=evening.",
            rich_help_panel=PANEL,
            show_default="all of them",
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            help="Lists for somebody new: a table with user_id, any, and the features of users.",
            rich_help_panel=PANEL,
            show_default=False,
        ),
    ] = None,
    *,
    beside: Beside,
    threads: common.Threads = 0,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """List the best items for users.

    Items in --data are left out for their user, items without any interaction for everybody. What a
    user had forgotten is not in the data any more, so it may be listed again: --exclude keeps it
    out.

    A model of sessions continues each user's last session in --data, one of baskets fills the next
    basket; what was there before may come again.

    A model of kind linear lists for a --context, for who is in --features, and for users and items
    that have no interactions but are in --user-features and --item-features. Beside what people had
    such items come last: --among lists them among themselves.

    --segment lists what a segment had, for somebody who is not in the model.

    MovieLens-1M takes 1 s of processor time, 2 with --all.

    Example: alteraser recommend model --user 42 --data ratings.csv

    Example: alteraser recommend model-2 --all --data remaining.csv --exclude forget.csv

    Example: alteraser recommend model --user 42 --item-features items.csv --among new.csv
    """
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.verbs.evaluate import seen_by

    everybody = everybody or (features is not None and not user and not segment)
    check_asked(
        user,
        segment,
        everybody=everybody,
        plain=data is None and features is None and among is None,
    )
    screen = Screen(json, quiet)
    if segment:
        return for_segments(screen, load_shown(model, beside, context), model, segment, k, exclude)
    with screen.phase("read", "reading"):
        trained = load_shown(model, beside, context, features)
        if user:
            trained.rows_of_users(user)  # before the data are read
        chosen: dict[str, Any] = {"among": inputs.read_items(among, trained)}
        chosen["exclude"] = excluded(exclude, trained)
        seen = None if data is None else seen_by(trained, inputs.read_for(trained, data))
    with screen.phase("solve", "ranking"), inputs.blas_threads(threads):
        lists = trained.recommend(None if everybody else user, k=k, seen=seen, **chosen).to_list()
    if data is None and not (isinstance(trained, ExactModel) and trained.settings.repeats):
        screen.note("without --data, items a user already has are listed too")
    for entry in lists:
        if not entry["items"]:
            screen.warn(f"user {entry['user_id']!r}: {why_none(trained, seen, entry['user_id'])}")
    show(screen, model, k, lists, "user_id")
    return None


def why_none(model: Recommender, seen: Interactions | None, user: Any) -> str:
    """Why a list is empty, as far as the data tell."""
    has = 0 if seen is None else int(seen.user_counts[model.rows_of_users([user])[0]])
    if has == 0:
        return (
            "the model knows nothing of them that it could list by (no interactions in its data,"
            " no features or words that it was trained with)"
        )
    if has >= len(model.items):
        return f"they have all {len(model.items):,} items of the model already"
    return (
        f"none of the other items is like the {has:,} that they have, or all that are were excluded"
    )


def check_asked(
    user: list[str] | None, segment: list[str] | None, *, everybody: bool, plain: bool
) -> None:
    """InvalidInput unless one thing is asked for; ``plain``: without data and features."""
    if [bool(user), bool(segment), everybody].count(True) != 1:
        raise InvalidInput(
            "name users with --user ID, or ask for --all, or for a --segment (one of them)"
        )
    if segment and not plain:
        raise InvalidInput(
            "--segment is for nobody in particular: leave --data, --features and --among out"
        )


def for_segments(
    screen: Screen, model: Any, path: Path, names: list[str], k: int, exclude: Path | None
) -> None:
    """The lists of segments on the screen; InvalidInput for a model that is not counted by them."""
    from alteraser.models.closed_form.model import ExactModel

    if not isinstance(model, ExactModel):
        raise InvalidInput(
            f"this model of kind {model.kind} is not counted by segment: train popularity with "
            "--segment-column"
        )
    with screen.phase("solve", "ranking"):
        left_out = excluded(exclude, model)
        lists = model.of_segments(list(dict.fromkeys(names)), k=k, exclude=left_out)
    show(screen, path, k, lists, "segment")


def show(screen: Screen, model: Path, k: int, lists: list[dict[str, Any]], name: str) -> None:
    """Lists on the screen, each under its ``name``."""
    rows = [
        (
            str(entry[name]),
            ", ".join(f"{i['item_id']} ({i['score']:.3f})" for i in entry["items"]),
        )
        for entry in lists
    ]
    screen.result(
        {"model": str(model), "k": k, "recommendations": lists, "seconds": screen.timing()}, rows
    )


def load_shown(
    path: Path, beside: Beside, context: str | None = None, features: Path | None = None
) -> Any:
    """The model, in a context, with cold items or for somebody new where it is a linear one.

    Raises InvalidInput for options that mean nothing to another kind.
    """
    from alteraser.cli.beside import refuse_context, with_sources

    model, sources = with_sources(path, beside)
    if sources is not None:
        from alteraser.cli.relational.sources import shown

        return shown(model, sources, context, features)
    refuse_context(context, model.kind)
    if features is not None:
        raise InvalidInput(
            f"--features means nothing to a model of kind {model.kind}: train with them"
        )
    return model


def excluded(path: Path | None, model: Recommender) -> Selection | None:
    """The table at ``path`` as items, or pairs, that are to be in no list, None for none;
    InvalidInput for one that names no items.
    """
    if path is None:
        return None
    from alteraser.data.readers import ReadingOptions
    from alteraser.data.selection import Selection

    reading = model.reading or ReadingOptions()
    wanted = inputs.read_forget(path, reading, whole_users=False, names=inputs.NOT_ASKED)
    if wanted.items is None:
        raise InvalidInput(
            f"--exclude {path}: whole users name nothing to leave out; give a table with item_id, "
            "or with user_id and item_id"
        )
    found = Selection(wanted.users, wanted.items)
    selecting.check_ids(path, found, model.users, model.items)
    return found
