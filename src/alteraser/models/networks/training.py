"""Training by Adam such that training again gives the same bytes.

Batches and the start are hashes of ids (``order``, ``alteraser.linalg.hashing``). All of it is on
one thread, because the sums of more would be added in another order on another machine, or on the
same one when it is busy. Adam (Kingma and Ba, ICLR 2015), the learning rate falling linearly to 0,
weights decaying apart from the gradient (Loshchilov and Hutter, ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alteraser.errors import NumericFailure
from alteraser.linalg.hashing import normals, of_ids
from alteraser.models.networks.encoders import Shapes
from alteraser.models.networks.order import Keys, Present, batches, bits

Array = npt.NDArray[Any]

FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8
"""Adam's β₁, β₂ and ε"""


@dataclass(frozen=True)
class Course:
    """How long, how fast, and from which numbers."""

    factors: int
    epochs: int
    batch: int
    learning_rate: float
    decay: float
    seed: int
    dtype: str


@contextmanager
def alone() -> Iterator[None]:
    """Torch on one thread, with nothing whose result is not a function of its arguments."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)


class TrainingTask(Protocol):
    """What is minimized, part by part of the data."""

    course: Course
    keys: Keys
    """Whose each part is"""

    def start(self) -> dict[str, Tensor]:
        """Parameters before anything is learned."""
        ...

    def backward(self, weights: Mapping[str, Tensor], chosen: Array) -> float:
        """The mean loss of these parts; its gradient is added to that of ``weights``."""
        ...


def rows(present: Present, course: Course) -> Tensor:
    """(k, d) a start for each row: a function of its id and the seed alone."""
    d = course.factors
    table = normals(course.seed, present.keys[:, None], np.arange(d)) * d**-0.5
    return torch.from_numpy(table.astype(course.dtype))


def started(shapes: Shapes, course: Course) -> dict[str, Tensor]:
    """Parameters of a network before anything is learned, functions of their names and the seed."""
    found = {}
    for name, (shape, scale) in shapes.items():
        if scale > 0.0:
            entries = np.arange(int(np.prod(shape))).reshape(shape)
            values = normals(course.seed, of_ids([name])[0], entries) * scale
        else:
            values = np.full(shape, -scale)
        found[name] = torch.from_numpy(values.astype(course.dtype))
    return found


@dataclass
class TrainingProgress:
    """A training under way; its tensors change in place."""

    weights: dict[str, Tensor]
    moments: dict[str, tuple[Tensor, Tensor]]
    step: int = 0

    @classmethod
    def at(cls, weights: Mapping[str, Tensor]) -> TrainingProgress:
        """Before a first step from ``weights``, which are not changed."""
        own = {name: value.clone().requires_grad_() for name, value in weights.items()}
        return cls(
            own, {name: (torch.zeros_like(x), torch.zeros_like(x)) for name, x in own.items()}
        )

    def copy(self) -> TrainingProgress:
        """The same, to go on from."""
        found = TrainingProgress.at({name: value.detach() for name, value in self.weights.items()})
        found.moments = {name: (a.clone(), b.clone()) for name, (a, b) in self.moments.items()}
        found.step = self.step
        return found

    def result(self) -> dict[str, Tensor]:
        """The weights as they are."""
        return {name: value.detach() for name, value in self.weights.items()}


def trained(task: TrainingTask) -> dict[str, Tensor]:
    """The parameters after all passes; NumericFailure where they diverge. Zeros where there is
    nothing to learn from.
    """
    begun = task.start()
    if not len(task.keys):
        return {name: torch.zeros_like(value) for name, value in begun.items()}
    progress = TrainingProgress.at(begun)
    for number in range(task.course.epochs):
        one_pass(task, progress, number)
    return progress.result()


def one_pass(task: TrainingTask, progress: TrainingProgress, number: int) -> float:
    """Pass ``number``; the mean loss of its batches, NumericFailure where that is not finite."""
    course, losses = task.course, []
    steps = course.epochs << bits(len(task.keys), course.batch)
    with alone():
        for chosen in batches(task.keys, course.batch, seed=course.seed, number=number):
            rate = course.learning_rate * max(1.0 - progress.step / steps, 0.0)
            progress.step += 1
            if chosen.size:
                losses.append(task.backward(progress.weights, chosen))
                _step(progress, rate, course.decay)
    if not np.isfinite(losses).all():
        raise NumericFailure(
            f"the loss is not finite after {number + 1} epoch(s): lower --learning-rate "
            f"({course.learning_rate:g}) or --regularization ({course.decay:g})"
        )
    return float(np.mean(losses))


@torch.no_grad()  # type: ignore[untyped-decorator]
def _step(progress: TrainingProgress, rate: float, decay: float) -> None:
    for name, x in progress.weights.items():
        gradient, (mean, square) = x.grad, progress.moments[name]
        assert gradient is not None  # every parameter is in every loss
        mean.mul_(FIRST).add_(gradient, alpha=1.0 - FIRST)
        square.mul_(SECOND).addcmul_(gradient, gradient, value=1.0 - SECOND)
        scale = (square / (1.0 - SECOND**progress.step)).sqrt_().add_(SMALL)
        if decay:
            x.mul_(1.0 - rate * decay)
        x.addcdiv_(mean, scale, value=-rate / (1.0 - FIRST**progress.step))
        x.grad = None
