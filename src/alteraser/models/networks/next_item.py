"""The cross-entropy of the next item over all items.

    L = −(1/T) Σ_t log softmax(E h_t)[v_t]        over the T places of a batch

Nothing is sampled: the sum of softmax runs over every item that occurs, in chunks of places, so
that memory does not grow with items times places.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alteraser.models.networks import training
from alteraser.models.networks.encoders import Encoder
from alteraser.models.networks.order import Present
from alteraser.models.networks.windows import Windows

Array = npt.NDArray[Any]

CELLS = 1 << 22
"""Logits that are held at a time"""
TABLE = "items"
"""The name of E among the parameters"""


class NextItem:
    """What follows each event of ``windows``, by ``encoder`` and E (``training.Task``)."""

    def __init__(
        self, encoder: Encoder, items: Present, windows: Windows, course: training.Course
    ) -> None:
        self.encoder, self.items, self.windows, self.course = encoder, items, windows, course
        self.keys = windows.keys

    def start(self) -> dict[str, Tensor]:
        """See ``training.Task``."""
        found = training.started(self.encoder.shapes(), self.course)
        return found | {TABLE: training.rows(self.items, self.course)}

    def backward(self, weights: Mapping[str, Tensor], chosen: Array) -> float:
        """See ``training.Task``."""
        items, following = self.windows.padded(chosen)
        hidden = encoded(self.encoder, weights, items)[torch.from_numpy(following >= 0)]
        wanted = torch.from_numpy(following[following >= 0])
        loss, slope, table = softmax(hidden.detach(), weights[TABLE].detach(), wanted)
        hidden.backward(slope)
        gradient = weights[TABLE].grad
        assert gradient is not None  # the table was read from
        gradient.add_(table)
        return loss


def encoded(encoder: Encoder, weights: Mapping[str, Tensor], items: Array) -> Tensor:
    """(windows, places, d) of ``items`` (windows, places), −1 behind the end of a window."""
    at = torch.from_numpy(np.maximum(items, 0))
    return encoder(weights, torch.nn.functional.embedding(at, weights[TABLE]))


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
