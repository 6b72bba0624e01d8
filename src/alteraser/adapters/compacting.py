"""Files of other libraries without the rows of who is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.adapters import map_files, npz
from alteraser.adapters.arrays import GRAM, Container
from alteraser.adapters.contract import Foreign
from alteraser.adapters.idmaps import read_id_map
from alteraser.adapters.implicit import ITEMS, USERS
from alteraser.adapters.options import ForeignOptions
from alteraser.data.files import atomic_directory, atomic_write
from alteraser.data.ids import IdMap
from alteraser.errors import InvalidInput, NumericFailure
from alteraser.verbs.compact import renumbered

Rows = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

WRITTEN = ("implicit", "arrays")
"""Formats that are written smaller"""

SEED = "random_state"
"""What implicit's training is repeated from; the smaller model cannot be, so it does not say so"""


def with_ids(foreign: Foreign, options: ForeignOptions) -> Foreign:
    """``foreign`` with both id maps: the container's, else from the files named, else its rows."""
    maps: list[IdMap] = []
    for side, ids, file, size in zip(
        ("user", "item"),
        (foreign.user_ids, foreign.item_ids),
        (options.users_map, options.items_map),
        foreign.shape[:2],
        strict=True,
    ):
        if ids is None and file is not None:
            ids = read_id_map(file, side, size)
        rows = np.arange(size, dtype=np.int64)
        maps.append(IdMap(pa.array(rows), rows, size) if ids is None else ids)
    return replace(foreign, user_ids=maps[0], item_ids=maps[1])


def rows_left(foreign: Foreign) -> tuple[Rows, Rows]:
    """Rows of users and of items that are somebody's: they have an id, where ids are known, and are
    not zero.

    Raises NumericFailure where all rows are zero, as nothing tells then who is gone.
    """
    found = []
    for name, x, biases, ids in (
        ("user", foreign.users, foreign.user_biases, foreign.user_ids),
        ("item", foreign.items, foreign.item_biases, foreign.item_ids),
    ):
        kept = np.any(np.asarray(x) != 0, axis=1)
        if biases is not None:
            kept |= np.asarray(biases) != 0
        if not kept.any():
            raise NumericFailure(
                f"{foreign.path}: all {name} rows are zero, so nothing tells who is gone"
            )
        if ids is not None:
            known = np.zeros(len(kept), bool)
            known[ids.rows] = True
            kept &= known
        found.append(np.flatnonzero(kept).astype(np.int64))
    return found[0], found[1]


def write_compacted(foreign: Foreign, users: Rows, items: Rows, out: Path) -> None:
    """The file at ``out`` with these rows alone, all or nothing.

    Raises InvalidInput for a container whose rows are known to more than its tables (optimizers,
    trees of objects).
    """
    state = foreign.state
    if foreign.format == "implicit" and isinstance(state, npz.NpzArchive):
        arrays = {name: state.array(name) for name in state.members if name != SEED}
        _write_npz(arrays | {USERS: arrays[USERS][users], ITEMS: arrays[ITEMS][items]}, out)
        return
    if foreign.format == "arrays" and isinstance(state, Container):
        _write_arrays(foreign, state, users, items, out)
        return
    check_format(foreign.format, foreign.path)
    raise InvalidInput(
        f"{foreign.path}: of {foreign.format}, compact writes .npz files alone",
        path=str(foreign.path),
    )


def _write_arrays(foreign: Foreign, state: Container, users: Rows, items: Rows, out: Path) -> None:
    """Plain arrays: an archive, a folder with its maps, or a safetensors file."""
    names = dict(zip(state.names, (users, items), strict=True))
    if state.archive is not None:
        held = {name: state.archive.array(name) for name in state.archive.members}
        _write_npz(held | {name: held[name][rows] for name, rows in names.items()}, out)
        return
    held = {name: region.array() for name, region in state.regions.items()}
    _refuse_others(foreign, set(held) - set(names) - set(GRAM))
    held |= {name: held[name][rows] for name, rows in names.items()}
    if not foreign.path.is_dir():
        _write_safetensors(held, out)
        return
    with atomic_directory(out) as folder:
        for name in state.names:
            np.save(folder / f"{name}.npy", held[name])
        for path in state.maps:
            side = path.stem.removesuffix("s")
            ids, rows = (foreign.user_ids, users) if side == "user" else (foreign.item_ids, items)
            assert ids is not None
            map_files.create(folder / path.name, renumbered(ids, rows), side)


def check_format(format: str, path: Path) -> None:
    """InvalidInput for a container that is not written smaller, before anything else is asked about
    it.
    """
    if format == "spark":
        raise InvalidInput(
            f"{path}: Spark's files hold a row for each id and none for a user who was erased: "
            "there is nothing to leave out",
            path=str(path),
        )
    if format not in WRITTEN:
        raise InvalidInput(
            f"{path}: compact writes implicit's .npz and plain arrays (.npy, .npz, .safetensors); "
            f"in a file of {format} more than two tables count on its rows. Take the vectors out "
            "with that library first",
            path=str(path),
        )


def _refuse_others(foreign: Foreign, names: set[str]) -> None:
    if names:
        raise InvalidInput(
            f"{foreign.path} holds {', '.join(sorted(names))} too, and whether rows of these "
            "belong to users or items is not known: save the two tables alone",
            path=str(foreign.path),
        )


def _write_npz(arrays: Mapping[str, Array], out: Path) -> None:
    with atomic_write(out) as target:
        named: dict[str, Any] = dict(arrays)
        np.savez(target, **named)


def _write_safetensors(arrays: Mapping[str, Array], out: Path) -> None:
    from safetensors.numpy import save

    with atomic_write(out) as target:
        target.write(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
