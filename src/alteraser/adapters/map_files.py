"""The forms in which people keep a map between ids and rows, read and written again.

    [id, id, …]
        JSON or a 1-d .npy: ids in row order; null (in .npy: "") for a row without one
    {id: row, …}                JSON
    {row: id, …}
        JSON, as ``dict(enumerate(…))`` gives: every row, null for one without an id
    row, user_id                a table; or ids alone in row order
    ,0   ,user_id   user_id,0
        a table as pandas writes a Series with its index: whichever of the two is the rows

``{id: row}`` and ``{row: id}`` look alike where ids are numbers. A pairing is read as the one that
it can be; where it can be both, and they differ, it is refused: reading the wrong one would give
every row to somebody else.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.data.ids import IdMap
from alteraser.errors import IntegrityError, InvalidInput

Rows = npt.NDArray[np.int64]

JSON, TABLES, NPY = ".json", (".parquet", ".csv", ".tsv"), ".npy"
PICKLES = (".pkl", ".pickle", ".joblib", ".p")
INDEX = ("", "Unnamed: 0", "__index_level_0__", "index")
"""What a pandas index without a name is called in a file."""
VALUES = ("0", "row")
"""What the values of a Series without a name are called, or rows by their name."""
_ROW = re.compile(r"0|[1-9][0-9]{0,18}")


class FoundIds(NamedTuple):
    """What a file says: some ids, each with its row."""

    ids: Any
    rows: Rows
    complete: bool
    """Whether the file's form has every row of the model in it."""


def read(path: Path, side: str, size: int) -> FoundIds:
    """The map of ``side`` (``user`` or ``item``) in the file at ``path``, for ``size`` rows.

    Raises InvalidInput for a form that is none of the above, for a pairing that can be read both
    ways, and for a pickle.
    """
    _refuse_pickle(path, side)
    suffix = path.suffix.lower()
    if suffix == JSON:
        return _from_json(path, side, size)
    if suffix == NPY:
        return _from_npy(path, side)
    return _from_table(path, side, size)


def writable(path: Path) -> bool:
    """Whether ``write`` knows the form of the file at ``path``."""
    if path.suffix.lower() == NPY:  # whole numbers have none that says: no id
        return path.is_file() and _npy(path).dtype.kind in "US"
    return path.suffix.lower() in (JSON, *TABLES)


def create(path: Path, ids: IdMap, side: str) -> None:
    """A new file at ``path`` with the map ``ids``: a JSON or .npy list in row order, or a table
    row, user_id.

    Raises OutputExists, and InvalidInput for a name that says no format, or for .npy where a row
    has no id.
    """
    from alteraser.data.files import atomic_write
    from alteraser.data.readers import write_rows

    check_new(path)
    suffix = path.suffix.lower()
    if suffix not in (JSON, NPY):
        write_rows(pa.table({"row": pa.array(ids.rows), f"{side}_id": ids.ids}), path)
        return
    names = dict(zip(ids.rows.tolist(), ids.ids.to_pylist(), strict=True))
    ordered = [names.get(row) for row in range(ids.size)]
    with atomic_write(path) as file:
        if suffix == JSON:
            file.write((json.dumps(ordered, ensure_ascii=False) + "\n").encode("utf-8"))
        else:
            array = np.array(ordered, np.int64 if ids.kind == "int64" else np.str_)
            np.lib.format.write_array(file, array, allow_pickle=False)


def check_new(path: Path) -> None:
    """Refuse a new map whose name says no format, before the work."""
    from alteraser.data.readers import WRITERS

    if path.suffix.lower() not in (JSON, NPY, *WRITERS):
        raise InvalidInput(
            f"{path}: the extension {path.suffix!r} names no form of a map that is written; use "
            f"{JSON}, {NPY}, " + ", ".join(WRITERS)
        )


def write(path: Path, left: IdMap) -> bytes:
    """The file at ``path`` again with the ids of ``left`` alone; every other row stays where it
    is.
    """
    suffix = path.suffix.lower()
    if suffix == JSON:
        return _to_json(path, left)
    return _to_npy(path, left) if suffix == NPY else _to_table(path, left)


# ---------------------------------------------------------------- which is the row


def oriented(
    keys: Sequence[Any], values: Sequence[Any], size: int, path: Path
) -> Literal["key", "value"]:
    """Which of a pairing holds the rows.

    Values do where they are distinct rows of 0 … size − 1. Keys do where they are all of these rows
    and values are something else. Raises InvalidInput where both can be, and differ, and where
    neither can be.
    """
    by_value = _rows(values, size)
    by_key = _rows(keys, size)
    if by_key is not None and len(by_key) == size:
        if by_value is None:
            return "key"
        if {*zip(by_key, by_value, strict=True)} != {*zip(by_value, by_key, strict=True)}:
            raise InvalidInput(
                f"{path}: keys and values are both rows (0 … {size - 1}), so it can be id → row "
                "and row → id, which differ. Say which: write a list of ids in row order, as JSON "
                "or .npy, or a table with the columns row and user_id (item_id)",
                path=str(path),
            )
        return "value"
    if by_value is not None or all(type(value) is int for value in values):
        return "value"  # rows that are out of range or there twice are named by who reads them
    if all(type(key) is int or _ROW.fullmatch(str(key)) for key in keys):
        raise InvalidInput(
            f"{path} has {len(keys):,} rows, the model {size:,}: an object of row → id has every "
            "row from 0, with null for one without an id. It is not this model's map",
            path=str(path),
        )
    raise InvalidInput(
        f'{path}: expected a list of ids in row order, or an object of id → row, such as {{"ann": '
        f"0}}, or of row → id, "
        'such as {"0": "ann"}',
        path=str(path),
    )


def _rows(names: Sequence[Any], size: int) -> list[int] | None:
    """``names`` as distinct rows of ``size``; None where they are not."""
    found = []
    for name in names:
        if type(name) is not int and not (isinstance(name, str) and _ROW.fullmatch(name)):
            return None
        found.append(int(name))
    return (
        found if len(set(found)) == len(found) and all(0 <= row < size for row in found) else None
    )


def _paired(keys: Sequence[Any], values: Sequence[Any], size: int, path: Path) -> FoundIds:
    if oriented(keys, values, size, path) == "value":
        return FoundIds(list(keys), np.array([int(value) for value in values], np.int64), False)
    named = [
        (int(key), value) for key, value in zip(keys, values, strict=True) if value is not None
    ]
    if not named:
        raise InvalidInput(f"{path} names no row", path=str(path))
    return FoundIds(
        [value for _, value in named], np.array([row for row, _ in named], np.int64), False
    )


# ---------------------------------------------------------------- JSON


def _load_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as cause:
        raise InvalidInput(f"{path} is not JSON ({cause})", path=str(path)) from cause


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key that is there twice would silently be one of the two."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice"
        )
    return found


def _from_json(path: Path, side: str, size: int) -> FoundIds:
    found = _load_json(path)
    if isinstance(found, list):
        return _in_order(found, path)
    if isinstance(found, dict):
        return _paired(list(found), list(found.values()), size, path)
    raise InvalidInput(
        f"{path}: expected a list of {side} ids in row order, or an object", path=str(path)
    )


def _in_order(names: list[Any], path: Path) -> FoundIds:
    """Ids in row order, None for a row without one."""
    named = [(row, name) for row, name in enumerate(names) if name is not None]
    if not named:
        raise InvalidInput(f"{path} names no row", path=str(path))
    if len(named) == len(names):
        return FoundIds(names, np.arange(len(names)), True)
    return FoundIds(
        [name for _, name in named], np.array([row for row, _ in named], np.int64), False
    )


def _to_json(path: Path, left: IdMap) -> bytes:
    found, kept = _load_json(path), set(left.rows.tolist())
    if isinstance(found, list):
        document: Any = [name if row in kept else None for row, name in enumerate(found)]
    elif oriented(list(found), list(found.values()), left.size, path) == "value":
        document = {name: row for name, row in found.items() if int(row) in kept}
    else:
        document = {row: name if int(row) in kept else None for row, name in found.items()}
    return (json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8")


# ---------------------------------------------------------------- NumPy


def _npy(path: Path) -> npt.NDArray[Any]:
    """The array at ``path``. Raises InvalidInput where it is no column of ids."""
    from alteraser.adapters.npz import npy_header

    with open(path, "rb") as file:
        shape, _, dtype = npy_header(file, str(path))
        if dtype.hasobject:
            raise InvalidInput(
                f"{path} is an array of Python objects, which is a pickle, and was not read. Save "
                "the ids as text or whole numbers: numpy.save(path, numpy.array(ids, dtype=str))",
                path=str(path),
            )
        if len(shape) != 1 or dtype.kind not in "iuUS":
            raise InvalidInput(
                f"{path} is {dtype} of shape {shape}: expected ids in row order, as whole numbers "
                "or text",
                path=str(path),
            )
        content = file.read()
    if len(content) != shape[0] * dtype.itemsize:
        raise IntegrityError(
            f"{path} has {len(content):,} bytes behind its header where {shape[0]:,} of {dtype} "
            f"need {shape[0] * dtype.itemsize:,}; it is damaged",
            path=str(path),
        )
    return np.frombuffer(content, dtype)


def _from_npy(path: Path, side: str) -> FoundIds:
    found = _npy(path)
    if found.dtype.kind == "S":
        try:
            found = np.char.decode(found, "utf-8")
        except UnicodeDecodeError as cause:
            raise InvalidInput(
                f"{path}: {side} ids that are not UTF-8 ({cause.reason})", path=str(path)
            ) from cause
    if found.dtype.kind == "U":
        return _in_order([name or None for name in found.tolist()], path)
    return FoundIds(found, np.arange(len(found)), True)


def _to_npy(path: Path, left: IdMap) -> bytes:
    import io

    found, target = _npy(path).copy(), io.BytesIO()
    found[~np.isin(np.arange(len(found)), left.rows)] = ""
    np.lib.format.write_array(target, found, allow_pickle=False)
    return target.getvalue()


# ---------------------------------------------------------------- tables


def _from_table(path: Path, side: str, size: int) -> FoundIds:
    from alteraser.data.readers import ReadingOptions, read_rows

    table = read_rows(path, ReadingOptions())
    names, own = table.column_names, f"{side}_id"
    index = names[0] if names[0] in INDEX and len(names) > 1 else None
    if index is not None and len(names) == 2:
        other = names[1]
        if other == "row":
            return _with_rows(table, index, path)
        if other == own and _rows(table[index].to_pylist(), size) is not None:
            return FoundIds(table[own], table[index].to_numpy().astype(np.int64), True)
        return _paired(table[index].to_pylist(), table[other].to_pylist(), size, path)
    if (
        "row" not in names
        and len(names) == 2
        and own in names
        and (other := names[1 - names.index(own)]) in VALUES
    ):
        return _paired(table[own].to_pylist(), table[other].to_pylist(), size, path)
    left = [name for name in names if name not in ("row", index)]
    chosen = own if own in left else left[0] if len(left) == 1 else None
    if chosen is None:
        raise InvalidInput(
            f"{path} has the columns {', '.join(names)}: expected row and {own}, or the ids alone "
            "in row order",
            path=str(path),
        )
    if "row" not in names:
        return FoundIds(table[chosen], np.arange(table.num_rows), True)
    return _with_rows(table, chosen, path)


def _with_rows(table: pa.Table, chosen: str, path: Path) -> FoundIds:
    if not pa.types.is_integer(table["row"].type) or table["row"].null_count:
        raise InvalidInput(f"{path}: column row must hold whole numbers from 0", path=str(path))
    return FoundIds(table[chosen], table["row"].to_numpy().astype(np.int64), False)


def _to_table(path: Path, left: IdMap) -> bytes:
    from alteraser.data.readers import write_rows

    table = pa.table({"row": pa.array(left.rows), "user_id": left.ids})
    with tempfile.TemporaryDirectory() as folder:
        write_rows(table, Path(folder) / path.name)
        return (Path(folder) / path.name).read_bytes()


# ---------------------------------------------------------------- pickles


def _refuse_pickle(path: Path, side: str) -> None:
    with open(path, "rb") as file:
        head = file.read(2)
    if path.suffix.lower() in PICKLES or (len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5):
        raise InvalidInput(
            f"--{side}s-map {path} is a pickle, and maps are not read from pickles: opening one "
            "runs it. Where you trust the file, write the map once as JSON: "
            "json.dump(ids_in_row_order, file), or json.dump({str(id): row for id, row in "
            "map.items()}, file)",
            path=str(path),
        )
