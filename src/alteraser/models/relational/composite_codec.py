"""Linear models in the folder of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from alteraser.data.side.given import USER
from alteraser.errors import IntegrityError, NumericFailure
from alteraser.models.relational.composite import (
    CompositeModel,
    blocks_from,
    described_blocks,
)
from alteraser.models.relational.setup import LinearSetup


class CompositeCodec:
    """Tables ``table.NAME``, prediction vectors ``prediction.NAME``, what users and items are, and
    how much of each context there is on average.
    """

    keys = frozenset({"setup", "blocks", "sources", "shape"})

    def tensors(self, model: CompositeModel) -> dict[str, Any]:
        """All float64; NumericFailure for entries that are not finite."""
        found = {f"table.{name}": E for name, E in model.tables.items()}
        found |= {f"prediction.{name}": h for name, h in model.predictions.items()}
        found |= {
            "user_embeddings": model.vectors[0],
            "item_embeddings": model.vectors[1],
            "average": model.average,
        }
        if not all(np.all(np.isfinite(x)) for x in found.values()):
            raise NumericFailure(
                "the tables hold NaN or infinite entries; such a model is never written"
            )
        return found

    def entries(self, model: CompositeModel) -> dict[str, Any]:
        """dtype, shape, settings, what rows are, and digests of what it learned from."""
        m, n = model.shape
        return {
            "dtype": "float64",
            "shape": {"users": m, "items": n, "factors": model.settings.factors},
            "setup": model.settings.model_dump(mode="json"),
            "blocks": described_blocks(model),
            "sources": dict(model.sources),
        }

    def rows(self, manifest: dict[str, Any], tensors: dict[str, Any]) -> tuple[int, int]:
        """Those of the embeddings."""
        return tensors["user_embeddings"].shape[0], tensors["item_embeddings"].shape[0]

    def build(
        self, manifest: dict[str, Any], tensors: dict[str, Any], common: dict[str, Any], path: Path
    ) -> CompositeModel:
        """See ``Codec``; NumericFailure for entries that are not finite."""
        # models from before there was a scaling have none
        setup = LinearSetup.model_validate({"feature_scaling": 0.0, **manifest["setup"]})
        blocks = blocks_from(manifest["blocks"], common["users"], common["items"])
        width = setup.factors + setup.biases
        wanted: dict[str, tuple[int, ...]] = {
            f"table.{name}": (rows[-1].stop, width) for name, rows in blocks.items()
        }
        wanted |= {
            "user_embeddings": (common["users"].size, width),
            "item_embeddings": (common["items"].size, width),
            "average": (blocks[USER][-1].stop,),
        }
        for name, tensor in tensors.items():
            shape = wanted.get(name, (setup.factors,) if name.startswith("prediction.") else None)
            if tensor.dtype != np.float64 or tensor.shape != shape:
                raise IntegrityError(
                    f"{path}: {name} is {tensor.dtype.name} {tensor.shape}, expected float64 "
                    f"{shape}"
                )
            if not np.all(np.isfinite(tensor)):
                raise NumericFailure(
                    f"{path} holds NaN or infinite entries; such a model is not used"
                )
        lacking = wanted.keys() - tensors.keys()
        if lacking:
            raise IntegrityError(f"{path} lacks {', '.join(sorted(lacking))}")

        def named(prefix: str) -> dict[str, Any]:
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }

        return CompositeModel(
            settings=setup,
            tables=named("table."),
            predictions=named("prediction."),
            blocks=blocks,
            average=tensors["average"],
            vectors=(tensors["user_embeddings"], tensors["item_embeddings"]),
            sources=manifest["sources"],
            **common,
        )
