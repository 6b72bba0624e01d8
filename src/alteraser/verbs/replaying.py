"""Whether a model's training can be run again to the very bytes: checked once, remembered by the
file's digest.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from pathlib import Path

import numpy as np

from alteraser.data.files import default_cache
from alteraser.data.interactions import Interactions
from alteraser.erasers.driver import OnPass
from alteraser.erasers.recipe import Recipe
from alteraser.errors import IntegrityError
from alteraser.models import Problem
from alteraser.models.factorization.model import Model
from alteraser.runtime.version import VERSION
from alteraser.runtime.workers import default_threads


def recipe_of(model: Model) -> Recipe | None:
    """How ``model`` was trained from a seed; None for one made from another model, or without a
    record.

    Raises IntegrityError for a record that cannot be read.
    """
    record = model.training.get("recipe")
    if record is None:
        return None
    try:
        return Recipe(**record)
    except (TypeError, ValueError) as cause:
        raise IntegrityError(
            f"the model's record of its training cannot be read: {cause}"
        ) from cause


def runs_again(
    model: Model,
    recipe: Recipe,
    data: Interactions,
    *,
    threads: int = 0,
    on_pass: OnPass | None = None,
) -> bool:
    """True when ``recipe`` on ``data`` gives the very factors of ``model``, bit for bit."""
    problem = Problem(model.objective, data, model.factors.dtype)
    outcome = recipe.run(
        problem, model.factors.rank, threads=threads or default_threads(), on_pass=on_pass
    )
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype
        for a, b in zip(vars(outcome.factors).values(), vars(model.factors).values(), strict=True)
    )


def remembered(model: Model) -> bool | None:
    """What the check of this very file said on this machine; None where it was never made."""
    path = _place(model)
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # no answer is an answer: the check is made again
    return (
        bool(found["passed"])
        if isinstance(found, dict) and found.get("made_by") == _maker()
        else None
    )


def remember(model: Model, passed: bool) -> None:
    """Keep the check's answer for this file; without a digest, or a folder to write to, nothing is
    kept.
    """
    path = _place(model)
    if path is None:
        return
    text = json.dumps({"digest": model.digest, "passed": passed, "made_by": _maker()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:  # a cache that cannot be written costs the check again, nothing else
        return


def _place(model: Model) -> Path | None:
    return None if model.digest is None else default_cache() / "replays" / f"{model.digest}.json"


def _maker() -> str:
    """What the bytes of a training depend on besides data and recipe."""
    return f"{VERSION} {platform.machine()} {platform.python_version()} numpy {np.__version__}"
