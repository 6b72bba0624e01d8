"""RecBole's id maps: from the data set it saved, or from the ``.inter`` file by its own rule.

A checkpoint has no ids. RecBole numbers users and items anew whenever it loads a data set: from 1,
in the order in which they first appear in the file (0 is [PAD]), after filtering. So the map is a
function of the file *as trained on*, and a file from which rows were deleted gives another one:
take the map before deleting.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alteraser.adapters._pickle import Call, load, protocol_of
from alteraser.adapters._pickled import NUMPY, array, scalar
from alteraser.data.ids import IdMap
from alteraser.errors import IntegrityError, InvalidInput, NotFound

DUMP = {
    *NUMPY,
    ("builtins", "slice"),
    ("logging", "getLogger"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.indexes.base", "Index"),
    ("torch", "device"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("pandas.core.internals.managers", "BlockManager"),
    ("yaml.loader", "FullLoader"),
}

MISSING = [
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
]
"""What pandas reads as a missing id; RecBole drops such rows."""


def read_dump(path: Path) -> Call:
    """The data set that RecBole saved at ``path``, as a tree; runs nothing.

    Raises NotFound, InvalidInput for another file, IntegrityError for a damaged one.
    """
    if not path.is_file():
        raise NotFound(f"{path} does not exist; check the path", path=str(path))
    content = path.read_bytes()
    if protocol_of(content) is None:
        raise InvalidInput(
            f"{path} is neither a .inter file nor a data set that RecBole saved", path=str(path)
        )
    tree = load(
        content,
        str(path),
        lambda module, name: (module, name) in DUMP or recbole_class(module, name),
    )
    if not isinstance(tree, Call) or not tree.function.module.startswith("recbole.data.dataset"):
        raise InvalidInput(
            f"{path} is a pickle, but not of a RecBole data set (<dataset>-<Class>.pth); check "
            "the path",
            path=str(path),
        )
    return tree


def recbole_class(module: str, name: str) -> bool:
    """Is this a class or enumeration of RecBole's own (not something it imported)?"""
    own = ("recbole.config.", "recbole.data.dataset.", "recbole.model.", "recbole.utils.enum_type")
    return module.startswith(own) and name.isidentifier() and name[:1].isupper()


def maps(
    source: Path, config: Mapping[str, Any], sizes: tuple[int | None, int]
) -> tuple[IdMap, IdMap]:
    """Maps of the users and the items, [PAD] left out: row i is RecBole's number i + 1.

    ``source`` is a data set dump or the ``.inter`` file, ``sizes`` the rows that the checkpoint has
    on either side, None where it has none. Raises IntegrityError where their number differs,
    InvalidInput for rules that cannot be followed here.
    """
    fields = (
        str(config.get("USER_ID_FIELD", "user_id")),
        str(config.get("ITEM_ID_FIELD", "item_id")),
    )
    found = (
        _of_inter(source, config, fields)
        if source.suffix == ".inter"
        else _of_dump(read_dump(source), fields)
    )
    for ids, size, side in zip(found, sizes, ("users", "items"), strict=True):
        if size is not None and len(ids) != size:
            raise IntegrityError(
                f"{source} has {len(ids):,} {side}, the checkpoint {size:,}: it is not the data "
                "set that the model was trained on, or rows were deleted from it since",
                path=str(source),
            )
    users, items = (
        IdMap(pa.array(ids, pa.string()), np.arange(len(ids), dtype=np.int64), len(ids))
        for ids in found
    )
    return users, items


def _of_dump(tree: Call, fields: tuple[str, str]) -> tuple[list[str], list[str]]:
    tables = tree.attributes.get("field2id_token")
    if not isinstance(tables, dict):
        raise IntegrityError("the data set dump has no field2id_token")
    named = {scalar(key, "field2id_token"): value for key, value in tables.items()}
    found = []
    for field in fields:
        if field not in named:
            raise InvalidInput(
                f"the data set dump has no ids of {field!r}; it has {', '.join(named)}"
            )
        found.append(
            [str(token) for token in array(named[field], f"field2id_token[{field!r}]").tolist()][1:]
        )
    return found[0], found[1]


def _of_inter(
    path: Path, config: Mapping[str, Any], fields: tuple[str, str]
) -> tuple[list[str], list[str]]:
    """First appearance after RecBole's filters, as far as they can be followed exactly."""
    import pyarrow.csv as pacsv

    _followed(path, config)
    if not path.is_file():
        raise NotFound(f"{path} does not exist; check the path", path=str(path))
    separator = str(config.get("field_separator", "\t"))
    with open(path, encoding="utf-8") as file:
        header = [cell.split(":")[0] for cell in file.readline().rstrip("\r\n").split(separator)]
    if not all(field in header for field in fields):
        raise InvalidInput(
            f"{path} has the columns {', '.join(header)}; expected {fields[0]} and {fields[1]}"
        )
    try:
        table = pacsv.read_csv(
            path,
            read_options=pacsv.ReadOptions(column_names=header, skip_rows=1),
            parse_options=pacsv.ParseOptions(delimiter=separator, quote_char=False),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(fields),
                column_types=dict.fromkeys(fields, pa.string()),
                null_values=MISSING,
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as cause:
        raise InvalidInput(f"{path}: {cause}", path=str(path)) from cause
    table = table.drop_null()
    sides = [table[field].combine_chunks().dictionary_encode() for field in fields]
    least_user, least_item = _least(path, config)
    keep = _core(sides[0].indices.to_numpy(), sides[1].indices.to_numpy(), least_user, least_item)
    users, items = (
        side.filter(pa.array(keep)).dictionary_decode().unique().to_pylist() for side in sides
    )
    return users, items


def _followed(path: Path, config: Mapping[str, Any]) -> None:
    """InvalidInput where the map depends on more than the order of the file."""
    columns = config.get("load_col")
    obstacles = {
        "rm_dup_inter": config.get("rm_dup_inter"),
        "val_interval": config.get("val_interval"),
        "benchmark_filename": config.get("benchmark_filename"),
        "load_col": None
        if isinstance(columns, dict) and set(columns) <= {"inter"}
        else columns or "all files",
        "alias_of_user_id": config.get("alias_of_user_id"),
        "alias_of_item_id": config.get("alias_of_item_id"),
    }
    for name, value in obstacles.items():
        if value:
            raise InvalidInput(
                f"{path}: the checkpoint's configuration has {name} = {value!r}, by which RecBole "
                "numbers users and items from more than this file. Name the data set that RecBole "
                "saved instead (save_dataset: <dataset>-Dataset.pth), or a table of row and id",
                path=str(path),
            )


def _least(path: Path, config: Mapping[str, Any]) -> tuple[int, int]:
    """The fewest interactions that a user and an item must have, from ``[k,inf)``."""
    found = []
    for name in ("user_inter_num_interval", "item_inter_num_interval"):
        text = str(config.get(name) or "[0,inf)").replace(" ", "")
        low, _, high = text[1:-1].partition(",")
        if text[:1] != "[" or high != "inf" or not low.isdigit():
            raise InvalidInput(
                f"{path}: the checkpoint's configuration has {name} = {text!r}; only [k,inf) can "
                "be followed here. Name the data set that RecBole saved instead",
                path=str(path),
            )
        found.append(int(low))
    return found[0], found[1]


def _core(users: Any, items: Any, least_user: int, least_item: int) -> Any:
    """Mask of the rows that remain when rare users and items are dropped until none is left: one
    largest set.
    """
    keep = np.ones(users.size, bool)
    while True:
        rare = np.zeros(users.size, bool)
        for codes, least in ((users, least_user), (items, least_item)):
            rare |= keep & (
                np.bincount(codes[keep], minlength=codes.max(initial=-1) + 1)[codes] < least
            )
        if not rare.any():
            return keep
        keep &= ~rare


def is_dump(path: Path) -> bool:
    """Does ``path`` look like a data set that RecBole saved? By its first bytes; never raises."""
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return protocol_of(head) is not None and b"recbole.data.dataset" in head
