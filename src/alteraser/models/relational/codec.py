"""Linear models in the folder of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.errors import IntegrityError, NumericFailure
from alteraser.models.registry import LINEAR
from alteraser.models.relational.composite_codec import CompositeCodec
from alteraser.models.relational.plain import PlainModel
from alteraser.models.relational.setup import LinearSetup

USERS, ITEMS = "user_embeddings", "item_embeddings"
TABLE, PREDICTION = "table.", "prediction."
"""What the names of tables and of trained prediction vectors begin with"""


class LinearCodec:
    """What scores (user_embeddings m×k, item_embeddings n×k), every table as ``table.NAME``, every
    trained h as ``prediction.RELATION``, all of float64, and the settings.
    """

    keys = frozenset({"settings", "shape"})

    def tensors(self, model: PlainModel) -> dict[str, Any]:
        """The arrays; NumericFailure for entries that are not finite."""
        found: dict[str, Any] = {USERS: model.vectors[0], ITEMS: model.vectors[1]}
        found |= {f"{TABLE}{name}": E for name, E in sorted(model.tables.items())}
        found |= {f"{PREDICTION}{name}": h for name, h in sorted(model.predictions.items())}
        if not all(np.all(np.isfinite(a)) for a in found.values()):
            raise NumericFailure("the model holds NaN or infinite entries; it is not written")
        return found

    def entries(self, model: PlainModel) -> dict[str, Any]:
        """Dtype, shape and settings."""
        m, n = model.shape
        tables = {name: list(E.shape) for name, E in sorted(model.tables.items())}
        return {
            "dtype": model.vectors[0].dtype.name,
            "shape": {"users": m, "items": n, "tables": tables},
            "settings": model.settings.own(),
        }

    def rows(self, manifest: dict[str, Any], tensors: dict[str, Any]) -> tuple[int, int]:
        """Those of what scores."""
        return tensors[USERS].shape[0], tensors[ITEMS].shape[0]

    def build(
        self, manifest: dict[str, Any], tensors: dict[str, Any], common: dict[str, Any], path: Path
    ) -> PlainModel:
        """See ``Codec``."""
        settings = LINEAR[manifest["kind"]](**manifest["settings"])
        for name, array in tensors.items():
            known = name in (USERS, ITEMS) or name.startswith((TABLE, PREDICTION))
            if not known or array.dtype != np.float64:
                raise IntegrityError(f"{path} holds {name} of {array.dtype}, expected float64")
            if not np.all(np.isfinite(array)):
                raise NumericFailure(f"{path}: {name} holds NaN or infinite entries")
        tables, predictions = (
            {name[len(start) :]: x for name, x in tensors.items() if name.startswith(start)}
            for start in (TABLE, PREDICTION)
        )
        if any(E.ndim != 2 for E in tables.values()) or not tables:
            raise IntegrityError(f"{path} holds no tables of a {settings.name}")
        vectors = tensors[USERS], tensors[ITEMS]
        return PlainModel(settings, tables, predictions, vectors, **common)


class _OfEveryKind(Mapping[str, LinearCodec | CompositeCodec]):
    """The codec of every kind that there is when it is asked for, by its name."""

    def __getitem__(self, kind: str) -> LinearCodec | CompositeCodec:
        if kind == LinearSetup.name:
            return CompositeCodec()
        if kind not in LINEAR:
            raise KeyError(kind)
        return LinearCodec()

    def __iter__(self) -> Iterator[str]:
        return iter((LinearSetup.name, *LINEAR))

    def __len__(self) -> int:
        return len(LINEAR) + 1


CODECS = _OfEveryKind()
