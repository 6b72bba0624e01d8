"""Neural models on disk: safetensors for every parameter, Parquet for the id maps, JSON for the
rest; no pickle.

model.safetensors   user_embedding m×d, item_embedding n×d, Φ by name users.parquet       row
(int64), user_id items.parquet       row (int64), item_id model.json          format_version, kind,
configuration, loss (``objective``), trained_on, digests, …
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alteraser.data.erased import written_beside
from alteraser.data.files import atomic_directory, check_output, sha256_file
from alteraser.errors import NumericFailure
from alteraser.models.folder import (
    FORMAT_VERSION,
    ITEMS,
    MANIFEST,
    TENSORS,
    USERS,
    digest_of,
    write_tensors,
)
from alteraser.runtime.version import VERSION

M = TypeVar("M", bound=Any)


def save(model: M, path: str | Path) -> M:
    """Write ``model`` as the new folder ``path``, all or nothing. Returns it with its digest.

    OutputExists if there is one, NumericFailure for parameters that are not finite.
    """
    tensors = {
        name: np.ascontiguousarray(value.numpy())
        for name, value in model.module.state_dict().items()
    }
    if not all(np.all(np.isfinite(value)) for value in tensors.values()):
        raise NumericFailure(
            "the parameters hold NaN or infinite entries; such a model is never written"
        )
    path = Path(path)
    check_output(path)
    with written_beside(path, model.erased), atomic_directory(path) as folder:
        write_tensors(tensors, folder / TENSORS)
        for name, side, ids in ((USERS, "user", model.users), (ITEMS, "item", model.items)):
            table = pa.table({"row": pa.array(ids.rows, pa.int64()), f"{side}_id": ids.ids})
            pq.write_table(table, folder / name, compression="zstd")
        manifest: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "kind": model.kind,
            "library_version": VERSION,
            "configuration": model.module.configuration,
            "objective": model.loss.model_dump(),
            "reading": None,
            "trained_on": model.trained_on.to_document(),
            "training": dict(model.training),
            "parent": model.parent,
            "ancestors": list(model.ancestors),
            "files": {name: sha256_file(folder / name) for name in (TENSORS, USERS, ITEMS)},
        }
        if model.erased:
            manifest["erased"] = model.erased.to_document()
        manifest |= {"digest": digest_of(manifest)}
        (folder / MANIFEST).write_text(
            json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return replace(model, digest=manifest["digest"])
