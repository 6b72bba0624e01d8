"""What libraries put into pickles, read from and put back into the tree of ``_pickle``: files,
arrays, scalars, maps.

NumPy pickles an array as a call of ``_reconstruct`` with a state (protocols 2 to 4) or of
``_frombuffer`` (protocol 5), in either case with a dtype, a shape and the bytes. Only numbers and
text are taken: an array of objects is a list.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.adapters._pickle import Allowed, Call, Global, load, protocol_of
from alteraser.adapters.contract import Holding
from alteraser.data.files import atomic_write
from alteraser.data.ids import IdMap, as_id_array
from alteraser.errors import IntegrityError, InvalidInput, NotFound, NumericFailure

Array = npt.NDArray[Any]

NUMPY = {
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    ),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("_codecs", "encode"),
    ("numpy.random._pickle", "__randomstate_ctor"),
    ("numpy.random._pickle", "__bit_generator_ctor"),
    ("numpy.random._pickle", "__generator_ctor"),
    ("numpy.random._mt19937", "MT19937"),
    ("numpy.random._pcg64", "PCG64"),
    ("numpy.random.bit_generator", "SeedSequence"),
    ("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    ("collections", "OrderedDict"),
    *((module, name) for module in ("builtins", "__builtin__") for name in ("list", "int", "dict")),
    ("collections", "defaultdict"),
}
"""Names that arrays, random states and dictionaries need: constructors of plain data."""

PICKLE = Holding(
    "pickle",
    "a program that whatever opens the file with its own library runs; here it was read as data, "
    "and nothing was run",
    "written again from plain data alone; keep the file only where you trust whoever made the "
    "original",
)
"""What every pickled model holds, said wherever one is read."""


def names(*more: tuple[str, str]) -> Allowed:
    """Allows NUMPY's names and these.

    >>> names(("surprise.trainset", "Trainset"))("os", "system")
    False
    """
    known = NUMPY | set(more)
    return lambda module, name: (module, name) in known


# ---------------------------------------------------------------- files


def first_bytes(path: Path, count: int = 1 << 16) -> bytes:
    """The beginning of the file at ``path``; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError:
        return b""


def mentions(path: Path, *words: bytes) -> bool:
    """Is this a pickle whose beginning names all of ``words``? For telling formats apart; runs
    nothing.
    """
    head = first_bytes(path)
    return protocol_of(head) is not None and all(word in head for word in words)


def read_pickle(path: Path, allowed: Allowed, *, allow: bool) -> Any:
    """The tree in the file at ``path``. Raises InvalidInput unless pickles are allowed, and as
    ``load`` does.
    """
    if not path.is_file():
        raise NotFound(f"{path} does not exist or is not a file; check the path", path=str(path))
    if not allow:
        raise InvalidInput(
            f"{path} is a pickle, and pickles are read only with --allow-pickle. (They are read "
            "by a reader of AltEraser's that runs nothing of them, but whatever opens the result "
            "with its own library does.)",
            path=str(path),
        )
    if protocol_of(first_bytes(path, 2)) is None:
        raise InvalidInput(
            f"{path} is not a pickle of protocol 2 to 5; check the path and --format",
            path=str(path),
        )
    # mapped, so that one of absurd size is refused before it is read
    with open(path, "rb") as file:
        return load(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), str(path), allowed)


def write_pickle(path: Path, content: bytes) -> None:
    """``content`` as a new file, all or nothing."""
    with atomic_write(path) as file:
        file.write(content)


# ---------------------------------------------------------------- arrays


def array(value: Any, what: str) -> Array:
    """The array that ``value`` stands for, read-only; ``what`` names it. Raises IntegrityError for
    anything else.
    """
    if isinstance(value, Call):
        if value.function.name == "_frombuffer" and len(value.arguments) == 4:
            content, dtype, shape, order = value.arguments
            return _array(content, dtype, shape, order == "F", what)
        if (
            value.function.name == "_reconstruct"
            and isinstance(value.state, tuple)
            and len(value.state) == 5
        ):
            _, shape, dtype, fortran, content = value.state
            if isinstance(content, list):
                return _of_objects(content, shape, what)
            return _array(content, dtype, shape, bool(fortran), what)
    raise IntegrityError(f"{what} is not an array of numbers or text")


def put_array(value: Call, new: Array) -> None:
    """Make the pickled array ``value`` hold ``new``: another shape, the dtype that it has, C
    order.
    """
    content, shape = (
        np.ascontiguousarray(new, array(value, "it").dtype).tobytes(),
        tuple(map(int, new.shape)),
    )
    if value.function.name == "_frombuffer":
        buffer, dtype = value.arguments[0], value.arguments[1]
        value.arguments = (type(buffer)(content), dtype, shape, "C")
        return
    version, _, dtype, _, old = value.state
    if isinstance(old, list):
        value.state = (version, shape, dtype, False, new.tolist())
    elif isinstance(old, Call):  # protocol 2 has no bytes
        old.arguments = (content.decode("latin1"), "latin1")
        value.state = (version, shape, dtype, False, old)
    else:
        value.state = (version, shape, dtype, False, content)


def scalar(value: Any, what: str) -> Any:
    """A Python number or text from itself or from NumPy's scalar. Raises IntegrityError for
    anything else.
    """
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Call) and value.function.name == "scalar" and len(value.arguments) == 2:
        return _array(value.arguments[1], value.arguments[0], (), False, what)[()].item()
    raise IntegrityError(f"{what} is not a number or text")


def _array(content: Any, dtype: Any, shape: Any, fortran: bool, what: str) -> Array:
    if isinstance(content, Call) and content.function == Global("_codecs", "encode"):
        text = content.arguments[0] if content.arguments else None
        content = text.encode("latin1", "replace") if isinstance(text, str) else None
    if not isinstance(content, bytes | bytearray):
        raise IntegrityError(f"{what}: an array without its bytes")
    kind = _dtype(dtype, what)
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise IntegrityError(f"{what}: {shape!r} is not a shape")
    if math.prod(shape) * kind.itemsize != len(content):
        raise IntegrityError(
            f"{what}: {len(content):,} bytes where a {kind} array of shape {shape} has "
            f"{math.prod(shape) * kind.itemsize:,}; the file is damaged"
        )
    found = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
    found.flags.writeable = False
    return found


def _of_objects(content: list[Any], shape: Any, what: str) -> Array:
    values = [scalar(value, what) for value in content]
    if shape != (len(values),):
        raise IntegrityError(f"{what}: {len(values)} values where the shape says {shape!r}")
    return np.array(values, dtype=object)


def _dtype(value: Any, what: str) -> np.dtype[Any]:
    """The dtype that a pickled one stands for: its letter and size, its byte order from the
    state.
    """
    if isinstance(value, Call) and value.function == Global("numpy", "dtype") and value.arguments:
        letters, state = value.arguments[0], value.state
        order: Any = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        if (
            isinstance(letters, str)
            and letters[:1] in "biufSU"
            and letters[1:].isdigit()
            and order in ("<", ">", "|")
        ):
            try:
                kind = np.dtype(letters)
            except TypeError:
                kind = np.dtype("V")
            if 0 < kind.itemsize <= 1 << 16:
                return kind.newbyteorder(order) if order != "|" else kind
    raise IntegrityError(f"{what}: a dtype that is not numbers or text")


# ---------------------------------------------------------------- maps


def id_map(pairs: Iterable[tuple[Any, Any]], size: int, what: str) -> IdMap:
    """An IdMap of (id, row) pairs, rows within ``size`` and none twice. Raises IntegrityError
    otherwise.
    """
    found: dict[int, Any] = {}
    for key, row in pairs:
        place, name = scalar(row, what), scalar(key, what)
        if type(place) is not int or not 0 <= place < size or place in found:
            raise IntegrityError(
                f"{what}: the id {name!r} has the row {place!r}; expected one of {size:,}, each "
                "once"
            )
        found[place] = name
    rows = np.array(sorted(found), np.int64)
    try:
        ids = (
            as_id_array([found[int(row)] for row in rows], what)
            if rows.size
            else pa.array([], pa.string())
        )
    except InvalidInput as cause:
        raise IntegrityError(f"{cause.message}") from cause
    if len(ids.unique()) < len(ids):
        raise IntegrityError(f"{what}: an id occurs twice")
    return IdMap(ids, rows, size)


# ---------------------------------------------------------------- models


def model_arrays(
    attributes: dict[str, Any], wanted: dict[str, int], path: Path
) -> dict[str, Array]:
    """The attributes called ``wanted`` (name: dimensions) as arrays. Raises IntegrityError and
    NumericFailure.
    """
    found = {}
    for name, dimensions in wanted.items():
        if attributes.get(name) is None:
            raise IntegrityError(
                f"{path} has no {name}: the model was saved before it was fitted", path=str(path)
            )
        values = array(attributes[name], f"{path}: {name}")
        if values.ndim != dimensions or values.dtype.kind != "f":
            raise IntegrityError(
                f"{path}: {name} is {values.dtype} of shape {values.shape}, expected "
                f"{dimensions}-dimensional floats",
                path=str(path),
            )
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise NumericFailure(
                f"{path}: {name} is not finite in row {row}; the model is damaged, restore it"
            )
        found[name] = values
    return found


def same_rows(arrays: dict[str, Array], *groups: tuple[str, ...], path: Path) -> None:
    """IntegrityError unless the arrays of each group have the same number of rows."""
    for group in groups:
        shapes = {name: arrays[name].shape for name in group if name in arrays}
        if len({shape[0] for shape in shapes.values()}) > 1:
            raise IntegrityError(
                f"{path}: {shapes} do not fit together; the file is damaged", path=str(path)
            )


def put_rows(attributes: dict[str, Any], name: str, new: Array | None) -> None:
    """Exchange the array called ``name``, where there is a new one."""
    if new is not None:
        put_array(attributes[name], new)
