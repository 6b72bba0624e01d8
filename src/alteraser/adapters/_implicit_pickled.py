"""implicit's models as people pickle them: the object, with its arrays and hyper-parameters as
attributes.

``model.save`` is the library's own form; ``pickle.dump(model)`` keeps the same attributes, and with
them what the model worked out when it was asked: norms of the rows (``similar_items``) and Gram
matrices (``recalculate_user``). Those are the old model's, and go. Facts of release 0.7.3; models
that were pickled on a GPU hold NumPy arrays as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._pickle import Call, load, protocol_of
from alteraser.adapters._pickled import (
    PICKLE,
    array,
    first_bytes,
    model_arrays,
    names,
    put_array,
    read_pickle,
    scalar,
    write_pickle,
)
from alteraser.adapters._pickling import dump
from alteraser.adapters.contract import Holding
from alteraser.data.files import check_output
from alteraser.errors import IntegrityError, InvalidInput

Array = npt.NDArray[Any]

KINDS = {
    (f"implicit.{device}.{kind}", name): kind
    for kind, name in (
        ("als", "AlternatingLeastSquares"),
        ("bpr", "BayesianPersonalizedRanking"),
        ("lmf", "LogisticMatrixFactorization"),
    )
    for device in ("cpu", "gpu")
}
CACHES = ("_user_norms", "_item_norms", "_user_norms_host", "_item_norms_host", "_YtY", "_XtX")
EXACT = names(*KINDS)


@dataclass(frozen=True)
class Pickled:
    """What ``write`` needs to find again."""

    path: Path


def recognizes(path: Path) -> bool:
    """A pickle whose beginning names one of implicit's models."""
    head = first_bytes(path)
    return protocol_of(head) is not None and any(
        module.encode() in head and name.encode() in head for module, name in KINDS
    )


def read(
    path: Path, *, allow: bool
) -> tuple[str, dict[str, Any], Array, Array, tuple[Holding, ...]]:
    """(kind, hyper-parameters, user factors, item factors, what else is held) of the pickle at
    ``path``.

    Raises InvalidInput for a pickle that was not allowed, and for one that is not such a model
    alone.
    """
    if b"joblib.numpy_pickle" in first_bytes(path):
        raise InvalidInput(
            f"{path} was written by joblib.dump, whose arrays lie between a pickle's instructions "
            "and are not read. Where you trust the file, load it once and write it with model.save",
            path=str(path),
        )
    kind, attributes = _model(read_pickle(path, _readable, allow=allow), path)
    arrays = model_arrays(attributes, {"user_factors": 2, "item_factors": 2}, path)
    hyper: dict[str, Any] = {"dtype": arrays["user_factors"].dtype.name}
    for name, value in attributes.items():
        plain = isinstance(value, bool | int | float | str)
        if plain or (isinstance(value, Call) and value.function.name == "scalar"):
            hyper[name] = scalar(value, name)
    held = [name for name in CACHES if attributes.get(name) is not None]
    caches = Holding(
        ", ".join(held),
        "norms and Gram matrices of the old factors",
        "dropped: implicit works them out",
    )
    return (
        kind,
        hyper,
        arrays["user_factors"],
        arrays["item_factors"],
        (PICKLE, *([caches] if held else [])),
    )


def write(state: Pickled, tables: dict[str, Array], out: Path) -> None:
    """The same pickle at ``out`` with other ``tables``, by name; without any, the same bytes."""
    check_output(out)
    content = state.path.read_bytes()
    if tables:
        tree = load(content, str(state.path), EXACT)
        _, attributes = _model(tree, state.path)
        for name, table in tables.items():
            kept = array(attributes[name], name)
            if table.shape != kept.shape:
                raise ValueError(f"{name}: {table.shape}, not {kept.shape}")
            put_array(attributes[name], np.asarray(table))
        for name in CACHES:
            if name in attributes:
                attributes[name] = None
        content = dump(tree, protocol_of(content) or 4)
    write_pickle(out, content)


def _readable(module: str, name: str) -> bool:
    """Also implicit's other models, so that they are refused by name."""
    return EXACT(module, name) or (module.startswith("implicit.") and name.isidentifier())


def _model(tree: Any, path: Path) -> tuple[str, dict[str, Any]]:
    if not isinstance(tree, Call):
        raise InvalidInput(
            f"{path} holds more than a model: pickle the model alone, and its id maps as JSON or "
            "a table",
            path=str(path),
        )
    kind = KINDS.get((tree.function.module, tree.function.name))
    if kind is None:
        raise InvalidInput(
            f"{path} is {tree.function}; ALS, BPR and logistic MF of implicit 0.5 and later are "
            "known here. Where you trust the file, load it with implicit and write the model "
            "inside it with model.save",
            path=str(path),
        )
    if not isinstance(tree.state, dict):
        raise IntegrityError(
            f"{path} was pickled without its attributes; it is damaged", path=str(path)
        )
    return kind, tree.attributes
