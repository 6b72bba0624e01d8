"""What NeuMF and its halves compute of two embeddings, in NumPy or in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def halves(phi: Mapping[str, Any], width: int, kind: str) -> tuple[Any, Any, Any, int]:
    """(W_u, W_v, b, w) of the first layer, and how many of a row's ``width`` entries are GMF's.

    RecBole's first layer acts on both embeddings side by side; its halves act on each, which is the
    same.
    """
    layer = _layers(phi)[0]
    W, b = phi[f"mlp_layers.mlp_layers.{layer}.weight"], phi[f"mlp_layers.mlp_layers.{layer}.bias"]
    half = W.shape[1] // 2
    return W[:, :half].T, W[:, half:].T, b, width - half if kind == "neumf" else 0


def _layers(phi: Mapping[str, Any]) -> list[int]:
    """Numbers of the perceptron's linear layers."""
    return sorted(
        int(name.split(".")[2])
        for name in phi
        if name.startswith("mlp_layers") and name.endswith("weight")
    )


def join(
    kind: str, a: Any, b: Any, phi: Mapping[str, Any], relu: Callable[[Any], Any], mf: int
) -> Any:
    """Scores (…) of parts: the first ``mf`` entries are multiplied, the rest added and put through
    the perceptron.
    """
    weight, score = phi["predict_layer.weight"][0], phi["predict_layer.bias"][0]
    if kind != "mlp":
        score = score + (a[..., :mf] * b[..., :mf]) @ weight[:mf]
    if kind != "gmf":
        x = relu(a[..., mf:] + b[..., mf:])
        for layer in _layers(phi)[1:]:
            W, bias = (phi[f"mlp_layers.mlp_layers.{layer}.{part}"] for part in ("weight", "bias"))
            x = relu(x @ W.T + bias)
        score = score + x @ weight[mf:]
    return score
