"""What RecBole leaves beside a checkpoint, without what was forgotten: its data set dump and the
``.inter`` file.

RecBole numbers users and items by first appearance, so a row that is deleted from an ``.inter``
file may renumber everybody, and a checkpoint then serves one user's recommendations to another.
Deleting is done only where it renumbers nobody. The data set dump has its numbers inside; rows
leave it freely, and an erased user's id with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters._pickle import Call, protocol_of
from alteraser.adapters._pickled import array, first_bytes, put_array, scalar
from alteraser.adapters._pickling import dump
from alteraser.adapters._recbole_ids import maps, read_dump
from alteraser.adapters.contract import Changed, Foreign
from alteraser.data.files import atomic_write, replace_file
from alteraser.errors import IntegrityError, InvalidInput


def _removed(foreign: Foreign, changed: Changed) -> set[tuple[str, str]]:
    """The forgotten pairs as ids."""
    if foreign.user_ids is None or foreign.item_ids is None:
        raise InvalidInput(
            f"{foreign.path}: without id maps nothing can be scrubbed; give --users-map"
        )
    users, items = changed.removed
    left = map(str, foreign.user_ids.ids_of(users).to_pylist())
    return set(zip(left, map(str, foreign.item_ids.ids_of(items).to_pylist()), strict=True))


# ---------------------------------------------------------------- .inter


def scrub_inter(path: Path, foreign: Foreign, changed: Changed) -> None:
    """Delete the forgotten lines of the ``.inter`` file at ``path``, in place.

    Raises InvalidInput, and leaves the file alone, where that would renumber users or items.
    """
    config = foreign.state.config
    gone = _removed(foreign, changed)
    separator = str(config.get("field_separator", "\t")).encode()
    fields = [
        str(config.get(name, name[:4].lower() + "_id")).encode()
        for name in ("USER_ID_FIELD", "ITEM_ID_FIELD")
    ]
    lines = path.read_bytes().splitlines(keepends=True)
    header = (
        [cell.split(b":")[0] for cell in lines[0].rstrip(b"\r\n").split(separator)] if lines else []
    )
    if not all(field in header for field in fields):
        raise InvalidInput(f"{path}: expected the columns user_id and item_id", path=str(path))
    columns = [header.index(field) for field in fields]

    def stays(line: bytes) -> bool:
        cells = line.rstrip(b"\r\n").split(separator)
        found = tuple(
            cells[column].decode("utf-8", "replace") if column < len(cells) else ""
            for column in columns
        )
        return found not in gone

    kept = b"".join([*lines[:1], *(line for line in lines[1:] if stays(line))])
    sizes = (foreign.shape[0], foreign.shape[1])
    trial = path.with_name(f".{path.stem[:40]}.tmp-scrub.inter")
    try:
        with atomic_write(trial) as file:
            file.write(kept)
        same = maps(trial, config, sizes) == maps(path, config, sizes)
    except IntegrityError:
        same = False
    finally:
        trial.unlink(missing_ok=True)
    if not same:
        raise InvalidInput(
            f"{path}: without the forgotten lines RecBole would number users or items differently "
            f"from {foreign.path}, which would then serve one user's recommendations to another. "
            "It was left as it is: save the data set (save_dataset), scrub that and load it "
            "instead, or train again from the remaining lines",
            path=str(path),
        )
    replace_file(path, kept)


# ---------------------------------------------------------------- <dataset>-Dataset.pth


def scrub_dataset(path: Path, foreign: Foreign, changed: Changed) -> None:
    """Take the forgotten interactions, and the ids of erased users, out of the data set dump at
    ``path``, in place.

    Numbers stay: an erased user's number has an empty token. Raises InvalidInput for a dump with
    user features.
    """
    tree = read_dump(path)
    attributes = tree.attributes
    if attributes.get("user_feat") is not None and changed.erased_users.size:
        raise InvalidInput(
            f"{path} holds features of users, which are not scrubbed; delete it, and let RecBole "
            "save it again",
            path=str(path),
        )
    users, items = (attributes.get(name) for name in ("uid_field", "iid_field"))
    tokens = {
        scalar(key, "field2id_token"): value for key, value in attributes["field2id_token"].items()
    }
    _drop(
        attributes.get("inter_feat"),
        (users, items),
        _numbers(foreign, changed, tokens, (users, items)),
        path,
    )
    for row in changed.erased_users:
        _rename(attributes, tokens, users, foreign, int(row))
    protocol = protocol_of(first_bytes(path, 2)) or 4
    replace_file(path, dump(tree, protocol))


def _numbers(
    foreign: Foreign, changed: Changed, tokens: dict[str, Any], fields: tuple[Any, Any]
) -> set[tuple[int, int]]:
    """The forgotten pairs by the dump's own numbers."""
    places = [
        {
            str(token): number
            for number, token in enumerate(array(tokens[field], "field2id_token").tolist())
        }
        for field in fields
    ]
    pairs = _removed(foreign, changed)
    return {(places[0].get(user, -1), places[1].get(item, -1)) for user, item in pairs}


def _drop(frame: Any, fields: tuple[Any, Any], gone: set[tuple[int, int]], path: Path) -> None:
    """Take rows out of a pickled DataFrame: blocks of columns by rows, and an index."""
    manager = frame.attributes.get("_mgr") if isinstance(frame, Call) else None
    if not isinstance(manager, Call) or len(manager.arguments) != 2:
        raise InvalidInput(
            f"{path}: its interactions are not a table as pandas 2 saves it; delete it",
            path=str(path),
        )
    blocks, (columns, index) = manager.arguments
    names = [
        scalar(name, "columns") for name in array(columns.arguments[1]["data"], "columns").tolist()
    ]
    place = {}
    for block in blocks:
        values, span = block.arguments[0], block.arguments[1]
        start, stop, step = span.arguments
        for line, column in enumerate(range(start, stop, step)):
            place[names[column]] = array(values, "inter_feat")[line]
    users, items = (place[field].tolist() for field in fields)
    keep = np.array([pair not in gone for pair in zip(users, items, strict=True)], bool)
    for block in blocks:
        put_array(block.arguments[0], array(block.arguments[0], "inter_feat")[:, keep])
    settings = index.arguments[1]
    if "stop" in settings:
        settings["start"], settings["stop"], settings["step"] = 0, int(keep.sum()), 1
    else:
        put_array(settings["data"], array(settings["data"], "index")[keep])


def _rename(
    attributes: dict[str, Any], tokens: dict[str, Any], field: Any, foreign: Foreign, row: int
) -> None:
    assert foreign.user_ids is not None
    name = str(foreign.user_ids.ids_of([row])[0].as_py())
    names = array(tokens[field], "field2id_token").copy()
    names[names == name] = ""
    put_array(tokens[field], names)
    for key, numbers in attributes.get("field2token_id", {}).items():
        if scalar(key, "field2token_id") == field:
            for token in [token for token in numbers if scalar(token, "field2token_id") == name]:
                del numbers[token]
