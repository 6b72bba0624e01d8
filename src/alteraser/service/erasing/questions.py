"""The questions that the service asks of what a version holds; each sort of it answers in a file of
its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from alteraser.engines.store.version import Content, Version
from alteraser.errors import Interrupted
from alteraser.ledger.asked import Asked
from alteraser.verbs.erasure import Erasure

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FoundInData:
    """What the requests of a batch come to on the data."""

    gone: Any
    """A mask of the interactions that go (|D|,), of events of these (E,); of several sources
    ``Parts``"""
    counts: list[dict[str, int]]
    """Of each request: names that it has, those that match, interactions that go, interactions that
    a hold keeps"""


@singledispatch
def find(held: Any, requests: Sequence[Asked], *, times: Any = None) -> FoundInData:
    """Everything that ``requests`` name in what a version holds, but for what a legal hold
    keeps.
    """
    raise NotImplementedError(type(held).__name__)


@singledispatch
def learned(held: Any, added: Sequence[Any]) -> Any:
    """What a version holds with what was added; what is there already stays as it is."""
    raise NotImplementedError(type(held).__name__)


@singledispatch
def people(held: Any) -> pa.Array:
    """The ids of all users of whom a version holds anything."""
    raise NotImplementedError(type(held).__name__)


@singledispatch
def check_left(held: Any, gone: Any) -> None:
    """InvalidInput ``nothing_left`` where no model can be made of ``held`` without what is
    ``gone``.
    """


@singledispatch
def erase(
    whole: Any,
    start: Version,
    gone: Any,
    *,
    method: str,
    threads: int,
    key: bytes,
    watch: Any = None,
) -> tuple[Content, dict[str, Any]]:
    """The content of the next version, ``whole`` without what is ``gone``, and how it came about.
    ``key`` is taken for a first record of who was erased.

    ``watch`` is called now and then and may raise Interrupted.
    """
    raise NotImplementedError(type(whole).__name__)


@singledispatch
def certify(whole: Any, start: Version, version: Version, *, threads: int) -> dict[str, Any]:
    """What the independent code says of the bytes that will be served."""
    raise NotImplementedError(type(whole).__name__)


def worked(erasure: Erasure[Any]) -> dict[str, Any]:
    """What the ledger keeps of a run."""
    training = erasure.model.training
    return {
        "method": str(training.get("method")),
        "passes": training.get("passes"),
        "products": training.get("products"),
        "residual": float(erasure.residual),
        "seconds": float(erasure.seconds),
    }


def stopping(stop: Any) -> Any:
    """A watch that ends the work where ``stop`` is set: it is done again later, from the plan."""

    def watch() -> None:
        if stop.is_set():
            raise Interrupted("the service is stopping; the batch is done again when it starts")

    return watch
