"""What commands are given: models, data and requests, read as options say; errors name these."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alteraser.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from alteraser.data.ids import IdMap
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ForgetTable, ReadingOptions
    from alteraser.models.closed_form.model import ExactModel
    from alteraser.models.factorization.model import Model
    from alteraser.models.protocol import Recommender
    from alteraser.models.relational.model import LinearModel
    from alteraser.settings import WrongSetting


def reading_options(**given: Any) -> ReadingOptions:
    """ReadingOptions from command-line values, None for what was not given; InvalidInput names the
    option.
    """
    from alteraser.data.readers import ReadingOptions

    if given.get("columns") is not None:
        given["column_names"] = tuple(name.strip() for name in given["columns"].split(","))
    known = {
        name: value for name, value in given.items() if name != "columns" and value is not None
    }
    with options_named({"column_names": "columns"}):
        return ReadingOptions(**known)


@contextmanager
def options_named(renamed: Mapping[str, str] | None = None) -> Iterator[None]:
    """Errors about settings name the options that set them: ``--`` and the setting, or ``renamed``
    of its name; so do their reasons, of a setting whose name is no word of a sentence.
    """
    from alteraser.settings import WrongSetting

    try:
        yield
    except WrongSetting as cause:
        names = [
            (renamed or {}).get(where[0], where[0]) if where else "" for where, _ in cause.faults
        ]
        raise InvalidInput(
            "; ".join(
                f"{_option(name)}: {told}" if name else told
                for name, told in zip(
                    names,
                    (_of_options(cause, why, renamed or {}) for _, why in cause.faults),
                    strict=True,
                )
            )
        ) from cause


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _of_options(cause: WrongSetting, reason: str, renamed: Mapping[str, str]) -> str:
    """``reason`` where it names other settings: by their options, values in quotes left alone."""
    return re.sub(
        r"(?<!['\w])[a-z]+(?:_[a-z]+)+(?!['\w])",
        lambda found: (
            _option(renamed.get(found[0], found[0])) if found[0] in cause.names else found[0]
        ),
        reason,
    )


def check_tolerance(tolerance: float | None) -> None:
    """InvalidInput for a tolerance that is not above 0 and at most 1."""
    from alteraser.tolerances import checked_tolerance

    if tolerance is not None:
        checked_tolerance(tolerance, "--tolerance")


def load_model(path: Path) -> Model | ExactModel | LinearModel:
    """The model at ``path``, of any kind."""
    from alteraser.models.loading import load

    return load(path)


def read_for(model: Recommender, source: Path) -> Interactions:
    """Interactions of ``source``, read the way the model's training data were."""
    return read_as(model.reading or _standard(), source)


NOT_ASKED: dict[str, str | None] = dict.fromkeys(
    (
        "user_column",
        "item_column",
        "threshold_column",
        "confidence",
        "target",
        "timestamp_column",
        "column_names",
        "session_column",
        "basket_column",
        "position_column",
        "segment_column",
    )
)
"""For messages of commands that read data as they were read in training: no option names a
column."""


def read_as(
    reading: ReadingOptions,
    source: Path,
    *,
    users: IdMap | None = None,
    items: IdMap | None = None,
    names: Mapping[str, str | None] | None = None,
) -> Interactions:
    """Interactions of ``source``, read as ``reading`` says and no option of the command can change
    but ``names``.
    """
    from alteraser.data.interactions import Interactions

    option_names = NOT_ASKED | dict(names or {})
    return Interactions.read(source, reading, users=users, items=items, option_names=option_names)


def _standard() -> ReadingOptions:
    from alteraser.data.readers import ReadingOptions

    return ReadingOptions()


def read_users(path: Path | None, model: Recommender) -> Any:
    """The ids in a table's user column, or None."""
    if path is None:
        return None
    return read_forget(path, model.reading or _standard(), whole_users=True, names=NOT_ASKED).users


def read_items(path: Path | None, model: Recommender) -> Any:
    """The ids in a table's item column, or None; NotFound where the model knows none of them."""
    if path is None:
        return None
    reading = model.reading or _standard()
    found: Any = read_forget(
        path, reading, whole_users=False, whole_items=True, names=NOT_ASKED
    ).items
    known = model.items.rows_of(found, f"{path}: item_id") >= 0
    if not known.any():
        raise NotFound(
            f"--among {path}: none of its {len(found):,} items is in the model. Write ids as in "
            "the data; what is known of items that nobody had, a model of kind linear takes from "
            "--item-features"
        )
    return found


def read_forget(
    path: Path,
    reading: ReadingOptions,
    *,
    whole_users: bool,
    whole_items: bool = False,
    names: Mapping[str, str | None] | None = None,
) -> ForgetTable:
    """FORGET, under the training data's column names or else the standard ones, user_id and
    item_id.

    ``names``: NOT_ASKED where the command has no option that names a column.
    """
    from alteraser.data.readers import ReadingOptions, read_forget_table

    try:
        return read_forget_table(
            path, reading, whole_users=whole_users, whole_items=whole_items, names=names
        )
    except InvalidInput as own:
        if (reading.user_column, reading.item_column) == ("user_id", "item_id"):
            raise
        try:
            return read_forget_table(
                path,
                ReadingOptions(),
                whole_users=whole_users,
                whole_items=whole_items,
                names=names,
            )
        except InvalidInput:
            raise own from None


def check_ids(path: Path, wanted: ForgetTable, users: IdMap, items: IdMap) -> None:
    """InvalidInput, naming FORGET, for an id that does not convert to the type of the model's
    ids.
    """
    if wanted.users is not None:
        users.rows_of(wanted.users, f"{path}: user_id")
    if wanted.items is not None:
        items.rows_of(wanted.items, f"{path}: item_id")


def forget_columns(wanted: ForgetTable) -> Any:
    """The Arrow table that ``forget`` takes: user_id and item_id, or one of them for whole users or
    items.
    """
    import pyarrow as pa

    columns = {"user_id": wanted.users, "item_id": wanted.items}
    return pa.table({name: ids for name, ids in columns.items() if ids is not None})


@contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    """Limit BLAS to ``threads`` (0: leave it as it is)."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads or None):
        yield


def names_given(asked: ReadingOptions, taken: ReadingOptions) -> dict[str, str | None] | None:
    """The option that stands for a field in messages where a kind took another one than was
    ``asked``: baskets that --session-column names.
    """
    moved = asked.session_column is not None and taken.basket_column == asked.session_column
    return {"basket_column": "--session-column"} if moved else None
