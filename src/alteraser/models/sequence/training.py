"""Training by Adam on the cross-entropy of the next item over all items, such that training again
gives the same bytes.

    L = −(1/T) Σ_t log softmax(E h_t)[v_t]        over the T places of a batch

Nothing is sampled: the sum of softmax runs over every item that occurs, in chunks of places, so
that memory does not grow with items times places. Batches and the start are hashes of ids
(``windows``, ``alteraser.linalg.hashing``). Everything runs on one thread, because the sums of more
would be added in another order on another machine, or on the same one when it is busy. Adam (Kingma
and Ba, ICLR 2015), the learning rate falling linearly to 0, weights decaying apart from the
gradient (Loshchilov and Hutter, ICLR 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alteraser.errors import NumericFailure
from alteraser.linalg.hashing import normals, of_ids
from alteraser.models.sequence.networks import Encoder
from alteraser.models.sequence.windows import Items, Windows

Array = npt.NDArray[Any]

CELLS = 1 << 22
"""Logits that are held at a time"""
FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8
"""Adam's β₁, β₂ and ε"""
TABLE = "items"
"""The name of E among the parameters"""


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


def started(encoder: Encoder, items: Items, course: Course) -> dict[str, Tensor]:
    """Parameters before anything is learned: an item's row is a function of its id and the seed
    alone.
    """
    d, kind = course.factors, np.dtype(course.dtype)
    table = normals(course.seed, items.keys[:, None], np.arange(d)) * d**-0.5
    found = {TABLE: torch.from_numpy(table.astype(kind))}
    for name, (shape, scale) in encoder.shapes().items():
        if scale > 0.0:
            entries = np.arange(int(np.prod(shape))).reshape(shape)
            values = normals(course.seed, of_ids([name])[0], entries) * scale
        else:
            values = np.full(shape, -scale)
        found[name] = torch.from_numpy(values.astype(kind))
    return found


@dataclass
class Progress:
    """A training under way; its tensors change in place."""

    weights: dict[str, Tensor]
    moments: dict[str, tuple[Tensor, Tensor]]
    step: int = 0

    @classmethod
    def at(cls, weights: Mapping[str, Tensor]) -> Progress:
        """Before a first step from ``weights``, which are not changed."""
        own = {name: value.clone().requires_grad_() for name, value in weights.items()}
        return cls(
            own, {name: (torch.zeros_like(x), torch.zeros_like(x)) for name, x in own.items()}
        )

    def copy(self) -> Progress:
        """The same, to go on from."""
        found = Progress.at({name: value.detach() for name, value in self.weights.items()})
        found.moments = {name: (a.clone(), b.clone()) for name, (a, b) in self.moments.items()}
        found.step = self.step
        return found

    def result(self) -> dict[str, Tensor]:
        """The weights as they are."""
        return {name: value.detach() for name, value in self.weights.items()}


def trained(
    encoder: Encoder, weights: Mapping[str, Tensor], windows: Windows, course: Course
) -> dict[str, Tensor]:
    """``weights`` after all passes of ``course`` over ``windows``; NumericFailure where they
    diverge.
    """
    progress = Progress.at(weights)
    for number in range(course.epochs):
        one_pass(encoder, progress, windows, course, number)
    return progress.result()


def one_pass(
    encoder: Encoder, progress: Progress, windows: Windows, course: Course, number: int
) -> float:
    """Pass ``number`` over ``windows``; the mean loss of a place, NumericFailure where that is not
    finite.
    """
    total, places, steps = 0.0, 0, course.epochs << windows.bits(course.batch)
    with alone():
        for chosen in windows.order(course.batch, seed=course.seed, number=number):
            rate = course.learning_rate * max(1.0 - progress.step / steps, 0.0)
            progress.step += 1
            if not chosen.size:
                continue
            count = int((windows.sizes[chosen] - 1).sum())
            total += count * backward(encoder, progress.weights, *windows.padded(chosen))
            places += count
            _step(progress, rate, course.decay)
    if not np.isfinite(total):
        raise NumericFailure(
            f"the loss is not finite after {number + 1} epoch(s): lower --learning-rate "
            f"({course.learning_rate:g}) or --regularization ({course.decay:g})"
        )
    return total / max(places, 1)


def encoded(encoder: Encoder, weights: Mapping[str, Tensor], items: Array) -> Tensor:
    """(windows, places, d) of ``items`` (windows, places), −1 behind the end of a window."""
    at = torch.from_numpy(np.maximum(items, 0))
    return encoder(weights, torch.nn.functional.embedding(at, weights[TABLE]))


def backward(
    encoder: Encoder, weights: Mapping[str, Tensor], items: Array, following: Array
) -> float:
    """The mean loss of a batch; its gradient is added to that of ``weights``."""
    found = encoded(encoder, weights, items)
    there = torch.from_numpy(following >= 0)
    hidden = found[there]
    wanted = torch.from_numpy(following[following >= 0])
    loss, slope, table = softmax(hidden.detach(), weights[TABLE].detach(), wanted)
    hidden.backward(slope)
    gradient = weights[TABLE].grad
    assert gradient is not None  # the table was read from
    gradient.add_(table)
    return loss


def softmax(hidden: Tensor, table: Tensor, wanted: Tensor) -> tuple[float, Tensor, Tensor]:
    """Mean cross-entropy of ``wanted`` (T,) by logits ``hidden`` (T, d) times ``table`` (n, d), and
    its gradient in both.
    """
    count, chunk = len(wanted), max(CELLS // len(table), 1)
    slope, gradient, total = torch.empty_like(hidden), torch.zeros_like(table), 0.0
    for start in range(0, count, chunk):
        part = slice(start, start + chunk)
        logits = hidden[part] @ table.T
        norm = torch.logsumexp(logits, 1, keepdim=True)
        rows = torch.arange(len(logits))
        total += float((norm[:, 0] - logits[rows, wanted[part]]).sum())
        share = logits.sub_(norm).exp_()
        share[rows, wanted[part]] -= 1.0
        share /= count
        slope[part] = share @ table
        gradient.addmm_(share.T, hidden[part])
    return total / count, slope, gradient


@torch.no_grad()  # type: ignore[untyped-decorator]
def _step(progress: Progress, rate: float, decay: float) -> None:
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
