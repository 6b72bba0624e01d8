"""Kinds that forget exactly in the folder of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.errors import IntegrityError, NumericFailure
from alteraser.models.closed_form.kind import fits
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.registry import KINDS


class ExactCodec:
    """The state of a kind that forgets exactly, array by array, and its settings."""

    keys = frozenset({"settings", "shape"})

    def tensors(self, model: ExactModel) -> dict[str, Any]:
        """The state."""
        return dict(model.state)

    def entries(self, model: ExactModel) -> dict[str, Any]:
        """Dtype of each array, shape and settings."""
        m, n = model.shape
        return {
            "dtype": {name: array.dtype.name for name, array in sorted(model.state.items())},
            "shape": {"users": m, "items": n},
            "settings": model.settings.model_dump(),
        }

    def rows(self, manifest: dict[str, Any], tensors: dict[str, Any]) -> tuple[int, int]:
        """As the manifest says: nothing of the state is a person's."""
        return manifest["shape"]["users"], manifest["shape"]["items"]

    def build(
        self, manifest: dict[str, Any], tensors: dict[str, Any], common: dict[str, Any], path: Path
    ) -> ExactModel:
        """See ``Codec``."""
        settings = KINDS[manifest["kind"]](**manifest["settings"])
        wanted = settings.shapes(manifest["shape"]["items"])
        if tensors.keys() != wanted.keys():
            raise IntegrityError(
                f"{path} holds {', '.join(sorted(tensors))}, expected {', '.join(sorted(wanted))}"
            )
        for name, (shape, dtypes) in wanted.items():
            found = tensors[name]
            if not fits(found.shape, shape) or found.dtype.name not in dtypes:
                raise IntegrityError(
                    f"{path}: {name} is {found.dtype.name} {found.shape}, expected "
                    f"{' or '.join(dtypes)} {shape}"
                )
            if not np.all(np.isfinite(found)):
                raise NumericFailure(
                    f"{path}: {name} holds NaN or infinite entries; such a model is not used"
                )
        settings.check_state(tensors, self.rows(manifest, tensors))
        return ExactModel(settings=settings, state=tensors, **common)


class _OfEveryKind(Mapping[str, ExactCodec]):
    """The one codec under the name of every kind that there is when it is asked for."""

    def __getitem__(self, kind: str) -> ExactCodec:
        if kind not in KINDS:
            raise KeyError(kind)
        return ExactCodec()

    def __iter__(self) -> Iterator[str]:
        return iter(KINDS)

    def __len__(self) -> int:
        return len(KINDS)


CODECS = _OfEveryKind()
