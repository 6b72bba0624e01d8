"""Finished cells on disk: one JSON record and one safetensors file each, so that a run can go on
where it ended.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from alteraser.data.files import replace_file
from alteraser.errors import IntegrityError
from alteraser.models import Factors

Record = dict[str, Any]


@dataclass(frozen=True)
class CellKey:
    """Which cell: its place in every dimension of the experiment."""

    dataset: str
    scenario: str
    stopping: str
    run: int
    method: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.scenario}/{self.stopping}/run-{self.run}/{self.method}"


class Store:
    """The folder that an experiment writes into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, key: CellKey) -> Record | None:
        """The finished record of ``key``, or None."""
        path = self._path(key, ".json")
        try:
            found: Record = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as cause:
            raise IntegrityError(
                f"{path} is not a finished cell ({cause}); delete it and run again"
            ) from cause
        return found

    def factors(self, key: CellKey) -> Factors:
        """The model of a finished cell."""
        arrays = self.arrays(key)
        return Factors(arrays["users"], arrays["items"], arrays["prediction"])

    def arrays(self, key: CellKey) -> dict[str, Any]:
        """The arrays of a finished cell, by name."""
        path = self._path(key, ".safetensors")
        try:
            return dict(load(path.read_bytes()))
        except FileNotFoundError:
            raise IntegrityError(
                f"{path} is gone; delete {path.with_suffix('.json').name} and run again"
            ) from None

    def put(self, key: CellKey, record: Record, factors: Factors) -> None:
        """Store a finished cell."""
        arrays = {"users": factors.users, "items": factors.items, "prediction": factors.prediction}
        self.put_arrays(key, record, arrays)

    def put_arrays(self, key: CellKey, record: Record, arrays: dict[str, Any]) -> None:
        """Store a finished cell: the model first, so that a record never stands without it."""
        replace_file(
            self._path(key, ".safetensors"),
            save({k: np.ascontiguousarray(v) for k, v in arrays.items()}),
        )
        text = json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False)
        replace_file(self._path(key, ".json"), text.encode())

    def records(self) -> list[Record]:
        """Every finished record, in the order of their keys."""
        paths = sorted((self.folder / "cells").rglob("*.json"))
        return [json.loads(path.read_text("utf-8")) for path in paths]

    def _path(self, key: CellKey, suffix: str) -> Path:
        parts = [_safe(part) for part in str(key).split("/")]
        return (self.folder / "cells").joinpath(*parts[:-1], parts[-1] + suffix)


def _safe(part: str) -> str:
    return re.sub(r"[^\w.%+\- \[\]]", "_", part) or "_"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
