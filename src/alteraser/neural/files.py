"""Neural models on disk: safetensors for every parameter, Parquet for the id maps, JSON for the rest; no pickle.

model.safetensors   user_embedding m×d, item_embedding n×d, Φ by name
users.parquet       row (int64), user_id
items.parquet       row (int64), item_id
model.json          format_version, kind, configuration, loss (``objective``), trained_on, digests, …
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

import alteraser
from alteraser.data.files import atomic_directory, sha256_file
from alteraser.errors import IntegrityError, InvalidInput, NumericFailure
from alteraser.models.factorization.model import TrainedOn
from alteraser.models.folder import (
    FORMAT_VERSION,
    ITEMS,
    MANIFEST,
    TENSORS,
    USERS,
    _digest,
    _id_map,
    _write_tensors,
    read_manifest,
)  # fmt: skip
from alteraser.neural.loss import Loss
from alteraser.neural.model import NeuralModel
from alteraser.neural.modules import KINDS


def save(model: NeuralModel, path: str | Path) -> NeuralModel:
    """Write ``model`` as the new folder ``path``, all or nothing. Returns it with its digest.

    OutputExists if there is one, NumericFailure for parameters that are not finite.
    """
    tensors = {name: np.ascontiguousarray(value.numpy()) for name, value in model.module.state_dict().items()}
    if not all(np.all(np.isfinite(value)) for value in tensors.values()):
        raise NumericFailure("the parameters hold NaN or infinite entries; such a model is never written")
    with atomic_directory(path) as folder:
        _write_tensors(tensors, folder / TENSORS)
        for name, side, ids in ((USERS, "user", model.users), (ITEMS, "item", model.items)):
            table = pa.table({"row": pa.array(ids.rows, pa.int64()), f"{side}_id": ids.ids})
            pq.write_table(table, folder / name, compression="zstd")
        manifest: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "kind": model.kind,
            "library_version": alteraser.__version__,
            "configuration": model.module.configuration,
            "objective": model.loss.model_dump(),
            "reading": None,
            "trained_on": model.trained_on.to_document(),
            "training": dict(model.training),
            "parent": model.parent,
            "files": {name: sha256_file(folder / name) for name in (TENSORS, USERS, ITEMS)},
        }
        manifest |= {"digest": _digest(manifest)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return replace(model, digest=manifest["digest"])


def load(path: str | Path) -> NeuralModel:
    """Read and check a folder that ``save`` wrote; nothing in it is executed.

    NotFound when there is none, InvalidInput for a model of another kind, IntegrityError for anything that does not
    fit.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(path)
    manifest = read_manifest(path)
    kind = manifest["kind"]
    if kind not in KINDS:
        raise InvalidInput(f"{path} is a model of kind {kind!r}: read it with alteraser.load")
    for name, expected in manifest["files"].items():
        if not (path / name).is_file() or sha256_file(path / name) != expected:
            raise IntegrityError(
                f"{path / name} is missing or does not match its digest in {MANIFEST}: restore it from a copy",
                file=name,
            )
    try:
        module = KINDS[kind](**manifest["configuration"])
        found = {name: torch.from_numpy(value.copy()) for name, value in load_file(path / TENSORS).items()}
        module.load_state_dict(found)
        m, n = module.user_embedding.shape[0], module.item_embedding.shape[0]
        users, items = _id_map(path / USERS, "user", m), _id_map(path / ITEMS, "item", n)
        loss, trained_on = Loss(**manifest["objective"]), TrainedOn(**manifest["trained_on"])
    except (KeyError, TypeError, ValueError, RuntimeError, pa.ArrowException, SafetensorError, InvalidInput) as cause:
        raise IntegrityError(f"{path} is not a model of this format: {type(cause).__name__}: {cause}") from cause
    if not all(bool(torch.isfinite(value).all()) for value in found.values()):
        raise NumericFailure(f"{path / TENSORS} holds NaN or infinite entries; such a model is not used")
    return NeuralModel(
        module, loss, users, items, trained_on, manifest["training"], manifest["parent"], manifest["digest"]
    )
