"""Which files of a folder are the parts of its table: all that look like data, or a refusal that
says why not.

Parts may lie in subfolders; those named ``key=value`` give their parts a column, as Hive, Spark and
pandas write them. What begins with ``.`` or ``_`` is no data, and neither are files with other
extensions or models (``model.json``).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from alteraser.data.readers._numbers import typed
from alteraser.data.readers._source import kind_of
from alteraser.errors import InvalidInput

Keys = tuple[tuple[str, str | None], ...]

_NULL = "__HIVE_DEFAULT_PARTITION__"
_KINDS = {
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".csv": "text",
    ".tsv": "text",
    ".tab": "text",
    ".jsonl": "JSON",
    ".ndjson": "JSON",
    ".json": "JSON",
    ".inter": "RecBole",
}
_ALONE = ("ratings.dat", "u.data")
_BARE = re.compile(r"part-(m-|r-)?[0-9]+|[0-9]{6}_[0-9]+")  # what Hadoop and Hive write
_NETFLIX = re.compile(r"(combined_data_[0-9]+|mv_[0-9]+)\.txt")
_COMPRESSIONS = (".gz", ".zst", ".zstd")
_SPLITS = frozenset(
    ("train", "training", "test", "testing", "valid", "validation", "val", "dev", "holdout")
)
_FOREIGN = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}


@dataclass(frozen=True)
class FolderPart:
    """A file of a table, and what the names of its folders say of all of its rows."""

    path: Path
    keys: Keys = ()


def parts_of(folder: Path, layout: str | None = None) -> list[FolderPart]:
    """The parts of the table in ``folder``, in the order of their paths. InvalidInput where it is
    not one table.
    """
    names = _listing(folder)
    if "interactions.parquet" in names:
        inner = folder / "interactions.parquet"
        return parts_of(inner, layout) if stat.S_ISDIR(kind_of(inner)) else [FolderPart(inner)]
    found = [(part, _kind(part.path.name, layout)) for part in _walk(folder, (), set())]
    parts = [part for part, kind in found if kind]
    kinds = {kind for _, kind in found if kind}
    if not parts:
        raise InvalidInput(
            f"{folder} holds {_listed(names)}, where interactions.parquet, parts in Parquet, CSV, "
            "TSV or JSON lines, .inter, ratings.dat or u.data were expected. Name the file itself.",
            path=str(folder),
        )
    if len(kinds) > 1 or (len(parts) > 1 and kinds & {"RecBole", *_ALONE}):
        paths = [str(part.path.relative_to(folder)) for part in parts]
        raise InvalidInput(
            f"{folder} holds {_listed(paths)}: more than one table. Name the file itself.",
            path=str(folder),
        )
    _refuse_splits(folder, parts)
    _require_same_keys(folder, parts)
    return parts


def key_columns(parts: Sequence[FolderPart]) -> dict[str, list[pa.Scalar]]:
    """The columns that the folders' names are, with a value for every part: integers if all are,
    else strings.
    """
    columns = {}
    for i, (name, _) in enumerate(parts[0].keys):
        values = pa.chunked_array([pa.array([part.keys[i][1] for part in parts], pa.string())])
        there, _ = typed(values.drop_null(), fractions=False)
        values = values.cast(there.type) if len(there) else values
        columns[name] = list(values)
    return columns


def _listing(folder: Path) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except PermissionError:
        raise InvalidInput(
            f"{folder} may not be read. Change its permissions.", path=str(folder)
        ) from None
    for name, words in _FOREIGN.items():
        if name in names:
            raise InvalidInput(
                f"{folder} is a table of {words}, in which files may be of older versions. Export "
                "its rows as Parquet.",
                path=str(folder),
            )
    if "_temporary" in names:
        raise InvalidInput(
            f"{folder} holds _temporary: a job is still writing it, or failed. Wait for it, or "
            "write it again.",
            path=str(folder),
        )
    return [name for name in names if not name.startswith((".", "_"))]


def _walk(folder: Path, keys: Keys, seen: set[str]) -> Iterator[FolderPart]:
    real = os.path.realpath(folder)
    if real in seen:
        raise InvalidInput(
            f"{folder} is a folder that was read already, by a link. Take the link out.",
            path=str(folder),
        )
    seen.add(real)
    for name in _listing(folder):
        path = folder / name
        if path.is_dir():
            if (path / "model.json").is_file():  # a model of ours, made beside the data
                continue
            key, equals, value = name.partition("=")
            named = (
                ((unquote(key), None if value == _NULL else unquote(value)),)
                if equals and key
                else ()
            )
            yield from _walk(path, keys + named, seen)
        else:
            yield FolderPart(path, keys)


def _kind(name: str, layout: str | None) -> str:
    lower = name.lower()
    if layout == "netflix":
        return "Netflix" if _NETFLIX.fullmatch(lower) else ""
    for compression in _COMPRESSIONS:
        lower = lower.removesuffix(compression)
    if lower in _ALONE:
        return lower
    return "bare" if _BARE.fullmatch(lower) else _KINDS.get(Path(lower).suffix, "")


def _refuse_splits(folder: Path, parts: Sequence[FolderPart]) -> None:
    """A training set and its test set have the same columns, and are no parts of one table."""
    found: dict[str, str] = {}
    for part in parts:
        path = part.path.relative_to(folder)
        words = [re.match(r"[a-z]*", piece.lower())[0] for piece in path.parts if "=" not in piece]  # type: ignore[index]
        word = next((word for word in words if word in _SPLITS), None)
        if word is not None:
            found.setdefault(word, str(path))
    if len(found) > 1:
        first, second = list(found.values())[:2]
        raise InvalidInput(
            f"{folder} holds {first} and {second}, which look like a split, not like parts of one "
            "table. Name the file itself.",
            path=str(folder),
        )


def _require_same_keys(folder: Path, parts: Sequence[FolderPart]) -> None:
    first = parts[0]
    names = [name for name, _ in first.keys]
    if len(set(names)) < len(names):
        raise InvalidInput(
            f"{first.path}: its folders name {names[0]!r} twice. Rename one.", path=str(first.path)
        )
    for part in parts[1:]:
        if [name for name, _ in part.keys] != names:
            raise InvalidInput(
                f"{folder}: {part.path.relative_to(folder)} and {first.path.relative_to(folder)} "
                "are not in folders of the same key=value names. Put all parts of a table alike.",
                path=str(folder),
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "") if names else "nothing"
