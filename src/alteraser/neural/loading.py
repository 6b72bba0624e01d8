"""Neural models from their folders; ``files`` says what is in these."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import torch

from alteraser.data.erased import Erased, read_keys
from alteraser.data.files import sha256_file
from alteraser.errors import IntegrityError, InvalidInput, NumericFailure
from alteraser.models.folder import (
    ITEMS,
    MANIFEST,
    TENSORS,
    USERS,
    ancestors_in,
    read_id_map,
    read_manifest,
)
from alteraser.models.protocol import TrainedOn
from alteraser.neural.loss import Loss
from alteraser.neural.model import NeuralModel
from alteraser.neural.modules import KINDS


def load(path: str | Path) -> NeuralModel:
    """Read and check a folder that ``save`` wrote; nothing in it is executed.

    NotFound when there is none, InvalidInput for a model of another kind, IntegrityError for
    anything that does not fit.
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
                f"{path / name} is missing or does not match its digest in {MANIFEST}: restore it "
                "from a copy",
                file=name,
            )
    try:
        module = KINDS[kind](**manifest["configuration"])
        found = {
            name: torch.from_numpy(value.copy())
            for name, value in load_file(path / TENSORS).items()
        }
        module.load_state_dict(found)
        m, n = module.user_embedding.shape[0], module.item_embedding.shape[0]
        users, items = read_id_map(path / USERS, "user", m), read_id_map(path / ITEMS, "item", n)
        loss, trained_on = Loss(**manifest["objective"]), TrainedOn(**manifest["trained_on"])
    except (
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        pa.ArrowException,
        SafetensorError,
        InvalidInput,
    ) as cause:
        raise IntegrityError(
            f"{path} is not a model of this format: {type(cause).__name__}: {cause}"
        ) from cause
    if not all(bool(torch.isfinite(value).all()) for value in found.values()):
        raise NumericFailure(
            f"{path / TENSORS} holds NaN or infinite entries; such a model is not used"
        )
    return NeuralModel(
        module,
        loss,
        users=users,
        items=items,
        trained_on=trained_on,
        training=manifest["training"],
        parent=manifest["parent"],
        ancestors=ancestors_in(manifest, path / MANIFEST),
        digest=manifest["digest"],
        erased=Erased.from_document(manifest.get("erased", []), read_keys(path), path),
    )
