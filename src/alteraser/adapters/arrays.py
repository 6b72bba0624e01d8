"""Factors and nothing else: a pair of arrays in a ``.safetensors``, an ``.npz``, or a folder of two
``.npy`` files.

The names of the pair are one of ``PAIRS``. What the factors minimize has to be said (``--loss``). A
folder may hold the id maps too, as ``users`` and ``items`` with a suffix of ``MAPS``; they are part
of the container then. LensKit's ``get_parameters``, saved as safetensors, is such a pair; a cached
Gram matrix beside it is computed again.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters import npz
from alteraser.adapters.contract import CONTAINER, Changed, Foreign, Holding, Sibling
from alteraser.adapters.idmaps import read_id_map, scrub_map
from alteraser.adapters.losses import named_loss
from alteraser.adapters.mapped import blocks_of, check_finite, map_region
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.siblings import neighbors
from alteraser.data.files import atomic_directory, atomic_write
from alteraser.data.ids import IdMap
from alteraser.errors import IntegrityError, InvalidInput

Array = npt.NDArray[Any]

PAIRS = (
    ("user_embeddings", "item_embeddings"),
    ("user_factors", "item_factors"),
    ("users", "items"),
    ("user_embedding.weight", "item_embedding.weight"),
    ("user_embeddings.weight", "item_embeddings.weight"),
    ("user_factors.weight", "item_factors.weight"),
)
"""The last three are what PyTorch's state dicts are called, saved as safetensors."""

MAPS = (".parquet", ".json", ".csv")
GRAM = ("OtOr", "_OtOr")
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
KNOWN_ELSEWHERE = ("use_cg", "cg_steps", "alpha", "verify_negative_samples", "neg_prop", "K")
"""Names that make an ``.npz`` a model of implicit."""


@dataclass(frozen=True)
class Region:
    """Where an array's numbers lie in a file."""

    file: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def array(self) -> Array:
        """A view of the file, or a copy of what is small."""
        return map_region(self.file, self.offset, self.dtype, self.shape)

    def write(self, file: IO[bytes], array: Array) -> None:
        """``array`` in its place."""
        file.seek(self.offset)
        for start, stop in blocks_of(array):
            file.write(np.ascontiguousarray(array[start:stop], self.dtype).data)


@dataclass(frozen=True)
class Container:
    """What ``write`` needs to find again."""

    names: tuple[str, str]
    regions: dict[str, Region]
    archive: npz.NpzArchive | None = None
    maps: tuple[Path, ...] = ()
    ridge: float = 0.0


class Arrays:
    """``--format arrays``"""

    name = "arrays"

    def recognizes(self, path: Path) -> bool:
        """A folder, an ``.npz`` or a safetensors file with one of the pairs."""
        try:
            if path.is_dir():
                return any(all((path / f"{name}.npy").is_file() for name in pair) for pair in PAIRS)
            if path.suffix == ".safetensors":
                names = set(_safetensors_header(path)[0])
                return any(set(pair) <= names for pair in PAIRS)
            return any(npz.is_npz(path, *pair) for pair in PAIRS) and not any(
                npz.is_npz(path, name) for name in KNOWN_ELSEWHERE
            )
        except (InvalidInput, IntegrityError, OSError):
            return False

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``Adapter.read``."""
        opened = _open(path)
        arrays = [_array(opened, name) for name in opened.names]
        for name, array in zip(opened.names, arrays, strict=True):
            if array.ndim != 2 or array.dtype not in DTYPES.values():
                raise InvalidInput(
                    f"{path}: {name} is {array.dtype} of shape {array.shape}, expected float32 or "
                    "float64 (rows, factors)",
                    path=str(path),
                )
        users, items = arrays
        if users.shape[1] != items.shape[1] or users.dtype != items.dtype:
            raise IntegrityError(
                f"{path}: {opened.names[0]} is {users.dtype} {users.shape}, {opened.names[1]} "
                f"{items.dtype} {items.shape}; they must have the same type and number of "
                "factors, so they are not of one model",
                path=str(path),
            )
        for name, array in zip(opened.names, arrays, strict=True):
            check_finite(path, name, array)
        maps = [_map(opened, side, len(x)) for side, x in (("user", users), ("item", items))]
        loss = named_loss(path, options, users.shape[1])
        ridge = options.regularization or 0.0
        return Foreign(
            path,
            self.name,
            options.loss or "",
            users,
            items,
            loss,
            hyperparameters={
                name: value
                for name in ("alpha", "regularization", "missing_weight")
                if (value := getattr(options, name)) is not None
            },
            user_ids=maps[0],
            item_ids=maps[1],
            ids_from=CONTAINER if all(maps) else None,
            holds=_holds(opened),
            state=Container(opened.names, opened.regions, opened.archive, opened.maps, ridge),
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """The same container; a user erased whole is a row of zeros without an id."""
        held: Container = foreign.state
        new = {
            name: array
            for name, array in zip(held.names, (changed.users, changed.items), strict=True)
            if array is not None
        }
        if changed.items is not None:
            gram = changed.items.astype(np.float64).T @ changed.items.astype(np.float64)
            new |= {
                name: gram + held.ridge * np.eye(len(gram)) for name in GRAM if name in held.regions
            }
        if held.archive is not None:
            npz.rewrite(
                held.archive,
                {name: x.astype(foreign.users.dtype, copy=False) for name, x in new.items()},
                out,
            )
        elif foreign.path.is_dir():
            with atomic_directory(out) as folder:
                for name in held.names:
                    shutil.copyfile(held.regions[name].file, folder / f"{name}.npy")
                    if name in new:
                        with open(folder / f"{name}.npy", "r+b") as file:
                            held.regions[name].write(file, new[name])
                for path in held.maps:
                    shutil.copyfile(path, folder / path.name)
                    if path.stem == "users" and changed.erased_users.size:
                        scrub_map(folder / path.name)(foreign, changed)
        else:
            with atomic_write(out) as target:
                with open(foreign.path, "rb") as source:
                    shutil.copyfileobj(source, target)
                for name, array in new.items():
                    held.regions[name].write(target, array)

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """See ``Adapter.siblings``; in a folder, also the files there that were not copied."""
        found = neighbors(path)
        if path.is_dir():
            opened = _open(path)
            known = {*opened.maps, *(region.file for region in opened.regions.values())}
            first = next(iter(opened.regions.values())).file
            found += neighbors(first, frozenset(each.absolute() for each in known))
        return found


ADAPTER = Arrays()


def _open(path: Path) -> Container:
    if path.is_dir():
        for pair in PAIRS:
            files = [path / f"{name}.npy" for name in pair]
            if all(file.is_file() for file in files):
                regions = {name: _npy(file) for name, file in zip(pair, files, strict=True)}
                maps = [path / f"{side}{suffix}" for side in ("users", "items") for suffix in MAPS]
                return Container(pair, regions, maps=tuple(file for file in maps if file.is_file()))
        raise InvalidInput(
            f"{path}: expected two .npy files, such as {PAIRS[0][0]}.npy and {PAIRS[0][1]}.npy"
        )
    if path.suffix == ".safetensors":
        header, start = _safetensors_header(path)
        regions = {
            name: Region(
                path,
                start + entry["data_offsets"][0],
                DTYPES[entry["dtype"]],
                tuple(entry["shape"]),
            )
            for name, entry in header.items()
            if entry["dtype"] in DTYPES
        }
        return Container(_pair(path, set(regions)), regions)
    archive = npz.open_npz(path)
    return Container(_pair(path, set(archive.members)), {}, archive)


def _pair(path: Path, names: set[str]) -> tuple[str, str]:
    for pair in PAIRS:
        if set(pair) <= names:
            return pair
    wanted = "; or ".join(" and ".join(pair) for pair in PAIRS)
    raise InvalidInput(
        f"{path} holds {', '.join(sorted(names)) or 'no floating-point arrays'}: expected {wanted}",
        path=str(path),
    )


def _array(opened: Container, name: str) -> Array:
    return opened.regions[name].array() if opened.archive is None else opened.archive.array(name)


def _map(opened: Container, side: str, size: int) -> IdMap | None:
    files = [path for path in opened.maps if path.stem == f"{side}s"]
    if len(files) > 1:
        raise InvalidInput(
            f"{files[0]} and {files[1]} are both a map of the {side}s; keep one of them"
        )
    return read_id_map(files[0], side, size) if files else None


def _holds(opened: Container) -> tuple[Holding, ...]:
    others = set(opened.regions if opened.archive is None else opened.archive.members) - set(
        opened.names
    )
    return tuple(
        Holding(name, "a cached Gram matrix of the items", "computed again from the new items")
        if name in GRAM and opened.archive is None
        else Holding(
            name, "an array of unknown use", "left as it is: look whether data went into it"
        )
        for name in sorted(others)
    )


def _npy(path: Path) -> Region:
    with open(path, "rb") as file:
        shape, fortran, dtype = npz.npy_header(file, str(path))
        offset = file.tell()
    if dtype.hasobject:
        raise InvalidInput(
            f"{path} is an array of Python objects, which is a pickle, and was not read",
            path=str(path),
        )
    if fortran and len(shape) > 1:
        raise InvalidInput(
            f"{path} is stored by columns: save it again with numpy.ascontiguousarray",
            path=str(path),
        )
    expected = offset + dtype.itemsize * int(np.prod(shape, dtype=object))
    if path.stat().st_size != expected:
        raise IntegrityError(
            f"{path} has {path.stat().st_size:,} bytes where shape {shape} of {dtype} needs "
            f"{expected:,}; it is damaged",
            path=str(path),
        )
    return Region(path, offset, dtype, shape)


def _safetensors_header(path: Path) -> tuple[dict[str, Any], int]:
    """(name → dtype, shape, data_offsets; where the numbers begin), after the library has checked
    the layout.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as cause:
        raise IntegrityError(
            f"{path} is damaged or no safetensors file ({cause}); restore it from a copy",
            path=str(path),
        ) from cause
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length
