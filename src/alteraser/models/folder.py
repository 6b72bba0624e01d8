"""What a model is on disk: a directory of safetensors, Parquet and JSON, written all or nothing,
digested.

model.safetensors   user_embeddings m×d, item_embeddings n×d, prediction d; or what another kind's
state is users.parquet       row (int64), user_id items.parquet       row (int64), item_id
trained_on.parquet  side, row and the sums of its interactions (``alteraser.data.sums``); older
models have none model.json          format_version, kind, objective or settings, trained_on,
sha-256 of every other file and itself, …

Beside it, where something was erased, OUT.key: the keys of the hashes in model.json that say whom:
see ``alteraser.data.erased``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alteraser.data.erased import Erased, read_keys, written_beside
from alteraser.data.files import atomic_directory, check_output, sha256_file
from alteraser.data.ids import IdMap
from alteraser.data.readers import ReadingOptions
from alteraser.data.sums import Sums
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.protocol import Recommender, TrainedOn
from alteraser.runtime.version import VERSION

FORMAT_VERSION = 1
HEX = re.compile("[0-9a-f]{64}")
"""A SHA-256 as it is written"""
TENSORS, USERS, ITEMS, MANIFEST = (
    "model.safetensors",
    "users.parquet",
    "items.parquet",
    "model.json",
)
SUMS = "trained_on.parquet"
FILES, OPTIONAL = frozenset({TENSORS, USERS, ITEMS}), frozenset({SUMS})
"""Files that a model has, and may have, beside its manifest"""


M = TypeVar("M", bound=Recommender)


class Codec(Protocol):
    """How one family of kinds is kept in a folder: its tensors, and what the manifest says of
    it.
    """

    keys: frozenset[str]
    """Entries of the manifest that it needs beside those of every kind"""

    def tensors(self, model: Any) -> dict[str, Any]:
        """Arrays by their name in the file; NumericFailure for a model that is not to be
        written.
        """
        ...

    def entries(self, model: Any) -> dict[str, Any]:
        """What the manifest says beside what it says of every kind; of ``shape`` and ``dtype`` as
        the files have it.
        """
        ...

    def rows(self, manifest: dict[str, Any], tensors: dict[str, Any]) -> tuple[int, int]:
        """(m, n), by the tensors as far as they tell."""
        ...

    def build(
        self, manifest: dict[str, Any], tensors: dict[str, Any], common: dict[str, Any], path: Path
    ) -> Any:
        """The model again; IntegrityError, naming ``path``, for tensors that are not those of the
        kind.
        """
        ...


FAMILIES = ("factorization", "closed_form", "relational")
"""Packages of ``alteraser.models`` that keep kinds: each has a module ``codec`` with a table
``CODECS`` by kind."""


def codec(kind: str) -> Codec | None:
    """The codec of a kind; None for one that is not known."""
    return next((known[kind] for known in _tables() if kind in known), None)


def _tables() -> list[Mapping[str, Codec]]:
    return [import_module(f"alteraser.models.{family}.codec").CODECS for family in FAMILIES]


def save_model(model: M, path: Path) -> M:
    """Write ``model`` as the new directory ``path``; OutputExists if there is one. Returns it with
    its digest.

    The keys of what it erased are on disk before it is, and are taken back where it cannot be
    written.
    """
    tensors = _codec_of(model).tensors(model)
    check_output(path)
    with written_beside(path, model.erased), atomic_directory(path) as folder:
        manifest = _write_folder(model, tensors, folder)
    return replace(model, digest=manifest["digest"])


def _codec_of(model: Recommender) -> Codec:
    found = codec(model.kind)
    assert found is not None
    return found


def _write_folder(model: Recommender, tensors: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Every file of ``model`` in ``folder``; returns the manifest."""
    write_tensors(tensors, folder / TENSORS)
    for name, side, ids in ((USERS, "user", model.users), (ITEMS, "item", model.items)):
        table = pa.table({"row": pa.array(ids.rows, pa.int64()), f"{side}_id": ids.ids})
        pq.write_table(table, folder / name, compression="zstd")
    names = [TENSORS, USERS, ITEMS]
    if model.trained_on.sums is not None:
        pq.write_table(model.trained_on.sums.to_table(), folder / SUMS, compression="zstd")
        names.append(SUMS)
    manifest = written_manifest(model, {name: sha256_file(folder / name) for name in names})
    (folder / MANIFEST).write_text(
        json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return manifest


def write_tensors(tensors: dict[str, np.ndarray[Any, Any]], path: Path) -> None:
    """A safetensors file, straight from the arrays.

    The library's ``save_file`` copies every tensor first, gives the file a mode of its own, and
    hides a full disk behind a SafetensorError.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        dtype = f"{tensor.dtype.kind.upper()}{8 * tensor.dtype.itemsize}"
        header[name] = {"dtype": dtype, "shape": tensor.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            little = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
            file.write(little.reshape(-1).view(np.uint8).data)


def kind_at(path: Path) -> str:
    """The kind that the manifest at ``path`` names, which is not checked yet; nothing where there
    is none.
    """
    try:
        return str(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def load_model(path: Path) -> Recommender:
    """Read and check a model directory.

    Raises NotFound when there is none, IntegrityError for a wrong digest, version, shape or id map.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    manifest = read_manifest(path)
    codec = _known_codec(manifest, path)
    for name, expected in manifest["files"].items():
        if not (path / name).is_file():
            raise IntegrityError(
                f"{path / name} is missing; the model is incomplete, restore it from a copy"
            )
        if sha256_file(path / name) != expected:
            raise IntegrityError(
                f"{path / name} does not match its digest in {MANIFEST}: the file was damaged or "
                "exchanged; restore it from a copy",
                file=name,
            )
    try:
        tensors = load_file(path / TENSORS)
        m, n = codec.rows(manifest, tensors)
        common = {
            "users": read_id_map(path / USERS, "user", m),
            "items": read_id_map(path / ITEMS, "item", n),
            "trained_on": TrainedOn(
                **manifest["trained_on"],
                sums=_sums(path / SUMS, (m, n)) if SUMS in manifest["files"] else None,
            ),
            "reading": None
            if manifest["reading"] is None
            else ReadingOptions(**manifest["reading"]),
            "training": manifest["training"],
            "parent": manifest["parent"],
            "ancestors": ancestors_in(manifest, path / MANIFEST),
            "digest": manifest["digest"],
            "erased": Erased.from_document(manifest.get("erased", []), read_keys(path), path),
        }
        model: Recommender = codec.build(manifest, tensors, common, path / TENSORS)
    except (
        KeyError,
        TypeError,
        ValueError,
        pa.ArrowException,
        SafetensorError,
        InvalidInput,
    ) as cause:
        raise IntegrityError(
            f"{path} is not a model of this format: {type(cause).__name__}: {cause}"
        ) from cause
    for key, found in described(model).items():
        if key in manifest and not _same(manifest[key], found):
            raise IntegrityError(
                f"{path / MANIFEST} says {key} {json.dumps(manifest[key])}, the files hold "
                f"{json.dumps(found)}: it was edited; restore the model from a copy"
            )
    return model


def _known_codec(manifest: dict[str, Any], path: Path) -> Codec:
    """The codec of the manifest's kind; IntegrityError for an unknown kind, or where its entries
    are missing.
    """
    kind = manifest["kind"]
    found = codec(kind) if isinstance(kind, str) else None
    if found is None:
        raise IntegrityError(
            f"{path / MANIFEST} says kind {kind!r}, expected "
            f"{', '.join(chain.from_iterable(_tables()))}; neural models are read in Python, with "
            "alteraser.neural.load"
        )
    missing = found.keys - manifest.keys()
    if missing:
        raise IntegrityError(f"{path / MANIFEST} lacks {', '.join(sorted(missing))}")
    return found


def read_manifest(path: Path) -> dict[str, Any]:
    """``model.json`` of a model directory, its own digest and version checked."""
    if not path.exists():
        raise NotFound(f"there is no model at {path}; check the path", path=str(path))
    if not (path / MANIFEST).is_file():
        raise IntegrityError(
            f"{path} is not a model of AltEraser: it has no {MANIFEST}. Name a folder that train "
            "or forget wrote; only forget, verify and inspect take models of other libraries"
        )
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"), object_pairs_hook=once)
        digest = manifest["digest"]
        version = manifest["format_version"]
        found = digest_of(manifest)
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise IntegrityError(
            f"{path / MANIFEST} cannot be read as a model's manifest ({cause!r}): restore it from "
            "a copy"
        ) from cause
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        newer = type(version) is int and version > FORMAT_VERSION
        raise IntegrityError(
            f"{path / MANIFEST} has format version {version!r}, this AltEraser reads up to "
            f"{FORMAT_VERSION}: "
            + ("upgrade it" if newer else "there is no such version; restore the model from a copy")
        )
    if found != digest:
        raise IntegrityError(
            f"{path / MANIFEST} does not match its own digest: it was edited or damaged; restore "
            "it from a copy"
        )
    missing = {"files", "trained_on", "reading", "training", "parent", "kind"} - manifest.keys()
    files = manifest.get("files")
    if missing or not isinstance(files, dict) or files.keys() - OPTIONAL != FILES:
        raise IntegrityError(
            f"{path / MANIFEST} lacks {', '.join(sorted(missing)) or 'the digest of a file'}"
        )
    return manifest  # type: ignore[no-any-return]


def ancestors_in(manifest: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The chain of digests in a manifest, which is at ``path``; manifests from before it was kept
    have the parent alone. IntegrityError for what is no chain.
    """
    parent = manifest["parent"]
    chain = manifest.get("ancestors", [] if parent is None else [parent])
    digests = [*chain] if parent is None else [parent, *chain]
    if not isinstance(chain, list) or not all(
        isinstance(x, str) and HEX.fullmatch(x) for x in digests
    ):
        raise IntegrityError(
            f"{path}: parent and ancestors must be digests of models, 64 hexadecimal digits each"
        )
    if parent is not None and chain[:1] != [parent]:
        raise IntegrityError(f"{path}: the first of the ancestors must be the parent, {parent}")
    return tuple(chain)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object each of whose keys stands there once; ValueError for one that is repeated."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(
            f"the key {next(k for i, (k, _) in enumerate(pairs) if k in dict(pairs[:i]))!r} is "
            "repeated"
        )
    return found


def _same(said: Any, found: Any) -> bool:
    """Equal to the letter: in JSON 1, 1.0 and true are three things."""
    return json.dumps(said, sort_keys=True) == json.dumps(found, sort_keys=True)


def described(model: Recommender) -> dict[str, Any]:
    """What the manifest says of the other files, as these files have it."""
    entries = _codec_of(model).entries(model)
    return {
        "dtype": entries["dtype"],
        "shape": entries["shape"],
        "id_types": {"user_id": model.users.kind, "item_id": model.items.kind},
    }


def tensors_of(model: Recommender) -> dict[str, Any]:
    """The arrays that ``model`` is kept as, by their names in the file."""
    return _codec_of(model).tensors(model)


def written_manifest(model: Recommender, files: dict[str, str]) -> dict[str, Any]:
    """The manifest of ``model``; ``files``: the digest of every other file."""
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "kind": model.kind,
        "library_version": VERSION,
        **described(model),
        **_codec_of(model).entries(model),
        "reading": None if model.reading is None else model.reading.model_dump(),
        "trained_on": model.trained_on.to_document(),
        "training": dict(model.training),
        "parent": model.parent,
        "ancestors": list(model.ancestors),
        "files": files,
    }
    if model.erased:
        manifest["erased"] = model.erased.to_document()
    return manifest | {"digest": digest_of(manifest)}


def digest_of(manifest: dict[str, Any]) -> str:
    """SHA-256 of the manifest without its own digest, keys sorted, no white space."""
    body = {key: value for key, value in manifest.items() if key != "digest"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _sums(path: Path, shape: tuple[int, int]) -> Sums:
    try:
        return Sums.from_table(pq.read_table(path), shape)
    except (KeyError, ValueError, TypeError, IndexError) as cause:
        raise IntegrityError(
            f"{path} is no table of sums ({cause}); restore the model from a copy"
        ) from cause


def read_id_map(path: Path, side: str, size: int) -> IdMap:
    """Rows and ids of a side of ``size`` rows; IntegrityError for what no model writes."""
    table = pq.read_table(path)
    ids = table[f"{side}_id"].combine_chunks()
    if table["row"].type != pa.int64() or ids.type not in (pa.int64(), pa.string()):
        raise IntegrityError(
            f"{path}: expected row int64 and {side}_id int64 or string, found {table['row'].type} "
            f"and {ids.type}"
        )
    if table["row"].null_count:
        raise IntegrityError(f"{path}: a row is null")
    rows = table["row"].to_numpy()
    if rows.size and (rows[0] < 0 or rows[-1] >= size or np.any(np.diff(rows) <= 0)):
        raise IntegrityError(f"{path}: rows must increase strictly within 0..{size - 1}")
    if ids.null_count or len(ids.unique()) != len(ids):
        raise IntegrityError(f"{path}: ids must be distinct and not null")
    return IdMap(ids, rows, size)
