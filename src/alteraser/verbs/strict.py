"""What a model's folder holds beside what it must hold: each a place where somebody who was erased
may still stand.

Loading passes over keys, metadata and columns that it does not know, because a later version may
add some. Whoever verifies cannot: nothing of them is explained by the remaining data. So everything
that this version would not have written is named here. Numbers are not looked into, and neither are
the names of columns in ``reading``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from alteraser.data.interactions import Interactions
from alteraser.erasers import CHOSEN, ERASERS
from alteraser.erasers.driver import ROUTE
from alteraser.erasers.recipe import Recipe
from alteraser.errors import IntegrityError
from alteraser.evidence.certificate.words import NAMES
from alteraser.models.folder import (
    ITEMS,
    MANIFEST,
    SUMS,
    TENSORS,
    USERS,
    once,
    tensors_of,
    written_manifest,
)
from alteraser.models.protocol import Recommender
from alteraser.solvers import SOLVERS

NUMBERS = frozenset(
    {
        "passes",
        "products",
        "rows_updated",
        "objective",
        "objective_before",
        "residual",
        "tolerance",
        "converged",
        "memory",
        "seed",
        "train_prediction",
        "interactions_forgotten",
        "distance",
        "rest",
        "effect_left",
        "requests_unpolished",
        "critical_regularization",
        "continuation",
        "compacted",
    }
)
"""Entries of ``training`` that are a number, true, false or null."""

WORDS = frozenset(
    {
        *ERASERS,
        *CHOSEN,
        *SOLVERS,
        *(name for name, _ in ROUTE),
        "train",
        "stream",
        "exact",
        "rows",
        "two-runs",
        "compact",
    }
)
"""What a text in ``training`` may say."""

CREATED_BY = re.compile(
    r"parquet-cpp-arrow version [0-9]{1,4}(\.[0-9]{1,4}){0,3}[a-zA-Z0-9.+-]{0,16}"
)
VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}[a-zA-Z0-9.+-]{0,24}")
TABLES = {
    ITEMS: ("row", "item_id"),
    USERS: ("row", "user_id"),
    SUMS: ("side", "row", "interactions", "pairs", "values"),
}
"""Columns of the tables; the values of ``trained_on.parquet`` are checked against the data."""
SHOWN = 5
"""Ids that a message names."""


def strangers(folder: Path, model: Recommender) -> tuple[str, ...]:
    """Everything in ``folder``, which ``model`` was loaded from, that does not belong there; in
    words, sorted by file.

    Files, keys of the manifest, tensors' metadata, columns and their metadata, bytes that belong to
    nothing.
    """
    listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    found = [
        *_files(folder, listed),
        *_manifest(folder / MANIFEST, model),
        *_tensors(folder / TENSORS, model),
    ]
    for name, columns in TABLES.items():
        if (folder / name).exists():
            found += _table(folder / name, columns)
    return tuple(found)


def unaccounted(model: Recommender, data: Interactions) -> tuple[int | str, ...]:
    """Ids of users that the model's map holds though ``data``, in the model's rows, have nothing of
    them.
    """
    alone = data.user_counts[model.users.rows] == 0
    return tuple(model.users.ids.filter(pa.array(alone)).to_pylist())


def named(ids: tuple[int | str, ...]) -> str:
    """The first few of ``ids``, for a message.

    >>> named((3, 5))
    '3, 5'
    """
    more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return ", ".join(map(repr, ids[:SHOWN])) + more


def _files(folder: Path, listed: Container[str]) -> Iterator[str]:
    for entry in sorted(folder.iterdir()):
        if entry.name != MANIFEST and entry.name not in listed:
            yield f"{'folder' if entry.is_dir() else 'file'} {entry.name}"
        elif entry.is_symlink() or not entry.is_file():
            yield f"{entry.name}, which is no plain file"


def _manifest(path: Path, model: Recommender) -> Iterator[str]:
    said = json.loads(path.read_text(encoding="utf-8"))
    known = written_manifest(model, said["files"])
    training, erased = said.pop("training"), said.pop("erased", None)
    for where in _unknown(said, known, ""):
        yield f"{path.name}: key {where}"
    if erased is not None and erased != known.get("erased"):
        yield f"{path.name}: key erased"
    if not (
        isinstance(said.get("library_version"), str) and VERSION.fullmatch(said["library_version"])
    ):
        yield f"{path.name}: library_version that is none"
    for where in _record(training):
        yield f"{path.name}: key training{where}"


def _unknown(said: Any, known: Any, where: str) -> Iterator[str]:
    """Keys of ``said`` that ``known`` has not, at any depth."""
    if not isinstance(said, dict):
        return
    for key, value in said.items():
        place = f"{where}.{key}" if where else str(key)
        if not isinstance(known, dict) or key not in known:
            yield place
        else:
            yield from _unknown(value, known[key], place)


def _record(training: Any) -> Iterator[str]:
    """Entries of the record of a run that no run writes."""
    if not isinstance(training, dict):
        yield ""
        return
    for key, value in training.items():
        fits = ENTRIES.get(key, _number if key in NUMBERS else _nothing)
        if not fits(value):
            yield f".{key}"


def _nothing(value: Any) -> bool:
    return False


def _number(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float)


def _recipe(value: Any) -> bool:
    try:
        return value is None or (bool(Recipe(**value)) and value.get("solver") in WORDS)
    except (TypeError, ValueError):
        return False


def _trained(value: Any) -> bool:
    if not isinstance(value, dict):
        return value is None
    return value.keys() <= {"passes", "products"} and all(map(_number, value.values()))


def _word(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in WORDS)


def _class(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in NAMES)


def _route(value: Any) -> bool:
    return isinstance(value, list) and all(word is not None and _word(word) for word in value)


ENTRIES: dict[str, Callable[[Any], bool]] = {
    "recipe": _recipe,
    "trained": _trained,
    "route": _route,
    "class": _class,
    "method": _word,
    "solver": _word,
}
"""What an entry of the record may be, beside those in ``NUMBERS``."""


def _tensors(path: Path, model: Recommender) -> Iterator[str]:
    """Entries of a safetensors header beside the tensors."""
    with open(path, "rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    try:
        entries = json.loads(header, object_pairs_hook=once)
    except ValueError as cause:
        raise IntegrityError(
            f"{path}: the header cannot be read ({cause}); restore the model from a copy"
        ) from cause
    for name, entry in entries.items():
        if name == "__metadata__":
            yield f"{path.name}: metadata {', '.join(map(str, entry))}"
        elif name not in tensors_of(model):
            yield f"{path.name}: tensor {name}"
        elif entry.keys() != {"dtype", "shape", "data_offsets"}:
            yield f"{path.name}: entries of {name}"


def _table(path: Path, known: tuple[str, ...]) -> Iterator[str]:
    """Columns, metadata and bytes of a table beside the columns it must have, or may."""
    with pq.ParquetFile(path) as file:
        footer, schema = file.metadata, file.schema_arrow
        yield from (f"{path.name}: column {name}" for name in schema.names if name not in known)
        yield from (f"{path.name}: metadata {key}" for key in _notes(file))
        if not CREATED_BY.fullmatch(footer.created_by or ""):
            yield f"{path.name}: created_by that is no version of its writer"
        columns = [
            footer.row_group(group).column(place)
            for group in range(footer.num_row_groups)
            for place in range(footer.num_columns)
        ]
        held = (
            4 + sum(column.total_compressed_size for column in columns) + footer.serialized_size + 8
        )
        if held != path.stat().st_size:
            yield f"{path.name}: {path.stat().st_size - held:,} bytes that belong to no column"
        for name in ("row", "user_id", "item_id"):
            if name in schema.names:
                yield from _statistics(file, path.name, name)


def _notes(file: pq.ParquetFile) -> Iterator[str]:
    """Keys of the metadata of a file, of its schema and of its fields, beside the one that Arrow
    writes.
    """
    own = {**(file.metadata.metadata or {}), **(file.schema_arrow.metadata or {})}
    yield from (key.decode(errors="replace") for key in own if key != b"ARROW:schema")
    for field in file.schema_arrow:
        yield from (f"{field.name}.{key.decode(errors='replace')}" for key in field.metadata or {})


def _statistics(file: pq.ParquetFile, name: str, column: str) -> Iterator[str]:
    """Least and greatest ids that no id of the group is."""
    place = file.schema_arrow.names.index(column)
    for group in range(file.metadata.num_row_groups):
        said = file.metadata.row_group(group).column(place).statistics
        if said is None or not said.has_min_max:
            continue
        ids = file.read_row_group(group, columns=[column])[column]
        found = pc.min_max(ids).as_py()
        if (said.min, said.max) != (found["min"], found["max"]):
            yield f"{name}: least and greatest {column} that are not there"
