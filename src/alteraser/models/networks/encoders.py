"""What becomes of the items so far: one vector for each place of a sequence, made of that place and
those before it.

The next item's logit is that vector times the item's row of the one table E, which the network also
reads (tied weights: Kang and McAuley 2018, section III-C; Hidasi and Karatzoglou 2018, section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

Shapes = Mapping[str, tuple[tuple[int, ...], float]]
"""{name: (shape, standard deviation at the start; 0 for zeros, −1 for ones)}"""


class Encoder(Protocol):
    """A network without the table of items."""

    def shapes(self) -> Shapes:
        """Its parameters, and how they begin."""
        ...

    def __call__(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """(windows, places, d) of ``x``, the items' rows: nothing of a later place in an earlier
        one.
        """
        ...


class Gated:
    """One layer of gated recurrent units (Hidasi, Karatzoglou, Baltrunas and Tikk, ICLR 2016)."""

    def __init__(self, factors: int) -> None:
        self.factors = factors

    def shapes(self) -> Shapes:
        """Weights and biases of the three gates, as torch has them."""
        d = self.factors
        square = ((3 * d, d), d**-0.5)
        return {
            "gru.input": square,
            "gru.hidden": square,
            "gru.input_bias": ((3 * d,), 0.0),
            "gru.hidden_bias": ((3 * d,), 0.0),
        }

    def __call__(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """See ``Encoder``."""
        flat = [weights[name] for name in self.shapes()]
        start = x.new_zeros(1, x.shape[0], self.factors)
        return torch.gru(x, start, flat, True, 1, 0.0, False, False, True)[0]


class SelfAttention:
    """Blocks of causal self-attention and a network of two layers, both with what they are added to
    (Kang and McAuley, ICDM 2018), one head, layers normalized first.
    """

    def __init__(self, factors: int, length: int, blocks: int) -> None:
        self.factors, self.length, self.blocks = factors, length, blocks

    def shapes(self) -> Shapes:
        """Places, and per block the attention and the two layers."""
        d = self.factors
        square, ones, zeros = ((d, d), d**-0.5), ((d,), -1.0), ((d,), 0.0)
        found: dict[str, tuple[tuple[int, ...], float]] = {
            "places": ((self.length, d), d**-0.5),
            "norm.scale": ones,
            "norm.shift": zeros,
        }
        for block in range(self.blocks):
            for part in ("query", "key", "value", "first", "second"):
                found[f"{block}.{part}"] = square
            for part in ("before", "between"):
                found[f"{block}.{part}.scale"] = ones
                found[f"{block}.{part}.shift"] = zeros
            for part in ("first", "second"):
                found[f"{block}.{part}.bias"] = zeros
        return found

    def __call__(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """See ``Encoder``."""
        x = x + weights["places"][: x.shape[1]]
        for block in range(self.blocks):
            own = {
                name.partition(".")[2]: value
                for name, value in weights.items()
                if name.startswith(f"{block}.")
            }
            y = _normalized(x, own, "before")
            x = x + functional.scaled_dot_product_attention(
                y @ own["query"], y @ own["key"], y @ own["value"], is_causal=True
            )
            y = _normalized(x, own, "between")
            y = functional.relu(y @ own["first"] + own["first.bias"])
            x = x + y @ own["second"] + own["second.bias"]
        return _normalized(x, weights, "norm")


def _normalized(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    return functional.layer_norm(
        x, x.shape[-1:], weights[f"{name}.scale"], weights[f"{name}.shift"]
    )
