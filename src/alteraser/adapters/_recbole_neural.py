"""RecBole's NeuMF, its halves GMF and MLP, and LightGCN: what they score, and what can be forgotten in them.

NeuMF and its halves (X. He et al., WWW 2017) are trained by binary cross-entropy on every interaction and
``sample_num`` uniformly drawn items beside it. On average that is the logistic loss over all cells, a missing cell of
user u weighing sample_num · |D_u| / n, with Adam's weight decay ω as ridge N(1 + sample_num) ω / 2 for N interactions.
Tables are forgotten in by Hessian-free Newton rows on that loss, the layers stay as they are. Early stopping is taken
for the ridge it amounts to; dropout, which is noise about the same mean only to first order, is left out. Needs
PyTorch.

LightGCN (X. He et al., SIGIR 2020) is trained by BPR on embeddings propagated over the graph of all interactions, so
that every row's loss goes through its neighbors' histories; it is read, checked, and not forgotten in here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._ranking import outranked
from alteraser.adapters.contract import Erased, Foreign, Task
from alteraser.adapters.selfcheck import Measure, RowFault, SelfCheck
from alteraser.errors import InvalidInput
from alteraser.extras import require
from alteraser.interactions import Interactions
from alteraser.models import Factors, Objective

Array = npt.NDArray[Any]
PASSES = 60
"""A perceptron's rows go on changing slowly for hundreds of passes, each as dear as an epoch."""

KEPT = 1e-3
"""Rounding of float32 propagation is a thousandth of it."""

HINT = (
    "Look at the id maps, and whether these are the training interactions alone: RecBole splits what it loads."
)  # fmt: skip


def logits(kind: str, p: Any, q: Any, phi: Mapping[str, Any], relu: Callable[[Any], Any]) -> Any:
    """Scores (…) of user rows p (…, d) and item rows q (…, d), in NumPy or PyTorch alike.

    A NeuMF row is GMF's entries, then the perceptron's. The first layer acts on both embeddings side by side; here its
    halves act on each, which is the same and broadcasts.
    """
    weight, bias = phi["predict_layer.weight"][0], phi["predict_layer.bias"][0]
    layers = sorted(
        int(name.split(".")[2]) for name in phi if name.startswith("mlp_layers") and name.endswith("weight")
    )
    width = 0
    score = bias
    if kind != "mlp":
        wide = phi[f"mlp_layers.mlp_layers.{layers[0]}.weight"].shape[1] // 2 if kind == "neumf" else 0
        width = p.shape[-1] - wide
        score = score + (p[..., :width] * q[..., :width]) @ weight[:width]
    if kind != "gmf":
        weights = [phi[f"mlp_layers.mlp_layers.{layer}.weight"] for layer in layers]
        biases = [phi[f"mlp_layers.mlp_layers.{layer}.bias"] for layer in layers]
        half = weights[0].shape[1] // 2
        x = relu(p[..., width:] @ weights[0][:, :half].T + q[..., width:] @ weights[0][:, half:].T + biases[0])
        for W, b in zip(weights[1:], biases[1:], strict=True):
            x = relu(x @ W.T + b)
        score = score + x @ weight[width:]
    return score


@dataclass(frozen=True)
class CrossEntropy:
    """The mean loss of NeuMF, GMF or MLP."""

    kind: str
    negatives: float
    """sample_num"""
    weight_decay: float

    @property
    def name(self) -> str:
        """For people."""
        return f"RecBole {dict(neumf='NeuMF', gmf='GMF', mlp='MLP')[self.kind]}"

    @property
    def formula(self) -> str:
        """One line with the numbers in it."""
        penalty = f" + {self.weight_decay:g}/2 · samples (‖P‖² + ‖Q‖²)" if self.weight_decay else ""
        return f"Σ_observed log(1 + exp(−s)) + {self.negatives:g}·|D_u|/n Σ_missing log(1 + exp(s)){penalty}"

    def objective(self, data: Interactions) -> Objective:
        """Weights and ridge, counted on ``data``; a_u = |D_u| over its mean."""
        samples = len(data) * (1.0 + self.negatives)
        mean = len(data) / max(data.shape[0], 1)
        return Objective(
            missing_weight=self.negatives * mean / max(data.shape[1], 1), missing_weighting="activity",
            weight_exponent=1.0, regularization=samples * self.weight_decay / 2,
        )  # fmt: skip

    def check(self, foreign: Foreign, data: Interactions, *, threads: int = 0) -> SelfCheck:
        """Do training pairs outrank others?"""

        def score(users: Array, items: Array) -> Array:
            found = logits(
                self.kind, foreign.users[users], foreign.items[items], foreign.further, lambda x: np.maximum(x, 0)
            )
            return np.asarray(found)

        rank, faults = outranked(score, data)
        return SelfCheck((rank,), faults, HINT)

    def forget(self, task: Task) -> Erased:
        """Hessian-free Newton on rows, users then items. Raises DependencyMissing without PyTorch."""
        require("torch", "torch", f"forgetting in {self.name}")
        import torch

        from alteraser.autograd.cells import ScoredProblem
        from alteraser.erasers import AltEraser
        from alteraser.erasers import Task as Erasing

        foreign, dtype = task.foreign, task.foreign.users.dtype
        phi = {name: torch.from_numpy(np.array(value)) for name, value in foreign.further.items()}

        def score(p: Any, q: Any) -> Any:
            here = {name: value.to(p.dtype) for name, value in phi.items()}
            return logits(self.kind, p, q, here, torch.relu)

        def problem(loss: CrossEntropy, data: Interactions) -> Any:
            return ScoredProblem(loss.objective(data), data, dtype.type, link="logistic", score=score)

        original = Factors(np.array(foreign.users), np.array(foreign.items), np.ones(foreign.shape[2], dtype))
        fitted = self._fitted(problem(self, task.before), original)
        erasing = Erasing(
            original, problem(fitted, task.before), problem(fitted, task.after), Erasing.rows(task.removed.user_rows),
            Erasing.rows(task.removed.indices), task.threads,
        )  # fmt: skip
        passes = min(task.max_passes, PASSES)
        eraser = AltEraser(task.tolerance, passes, solver="hf-newton", memory=6, limits=None, escalate=False)
        outcome = eraser.erase(erasing, task.on_pass)
        return Erased(
            outcome.factors.users, outcome.factors.items, residual=outcome.residual, converged=outcome.converged,
            passes=outcome.passes, products=outcome.products, rows_updated=outcome.rows_updated, reason=outcome.reason,
            route=outcome.route, solver="hf-newton", push=erasing.push, training_floor=erasing.start.floor,
            objective_before=erasing.start.objective, objective_after=outcome.objective, trace=outcome.trace,
        )  # fmt: skip

    def _fitted(self, problem: Any, original: Factors) -> CrossEntropy:
        """The loss with the ridge that holds the factors where they are, where that is more than the weight decay.

        Early stopping keeps parameters small as a ridge does, and without either the loss has no minimum to go to. With
        ∇L = ∇D + 2λΘ, the ridge under which Θ neither grows nor shrinks is −⟨∇D, Θ⟩ / 2‖Θ‖².
        """
        from alteraser.solvers.stationarity import evaluate

        found, stated = evaluate(problem, original), problem.objective.regularization
        along = float(np.vdot(found.user_gradient, original.users) + np.vdot(found.item_gradient, original.items))
        square = float(np.square(original.users).sum() + np.square(original.items).sum())
        ridge = max(stated, stated - along / (2 * square)) if square else stated
        samples = len(problem.interactions) * (1.0 + self.negatives)
        return replace(self, weight_decay=2 * ridge / samples)


@dataclass(frozen=True)
class GraphBPR:
    """LightGCN's loss; checked, not forgotten."""

    layers: int
    norm_weight: float

    name = "RecBole LightGCN"

    @property
    def formula(self) -> str:
        """One line with the numbers in it."""
        return (
            f"Σ_D E_j log(1 + exp(s_uj − s_uv)) + {self.norm_weight:g} (norms of the batch), s = ē_u·ē_v, ē = mean of "
            f"{self.layers} propagations over the graph"
        )

    def propagated(self, data: Interactions, P: Array, Q: Array) -> tuple[Array, Array]:
        """ē of all users and items: (1/(K + 1)) Σ_k (D^-½ A D^-½)^k E on the graph of ``data``."""
        from scipy.sparse import csr_array

        ones = np.ones(len(data), P.dtype)
        left = (data.user_counts + 1e-7) ** -0.5
        right = (data.item_counts + 1e-7) ** -0.5
        weights = ones * left[data.user_rows] * right[data.indices]
        edges = csr_array((weights, data.indices, data.indptr), shape=data.shape)
        users, items = P, Q
        sums = [P.astype(np.float64), Q.astype(np.float64)]
        for _ in range(self.layers):
            users, items = edges @ items, edges.T @ users
            sums = [sums[0] + users, sums[1] + items]
        return sums[0] / (self.layers + 1), sums[1] / (self.layers + 1)

    def check(self, foreign: Foreign, data: Interactions, *, threads: int = 0) -> SelfCheck:
        """Is what the checkpoint keeps of its last evaluation the propagation over ``data``? Do training pairs outrank?

        Ranks alone tell little: propagation over any data draws a user near the items of these data.
        """
        users, items = self.propagated(data, foreign.users, foreign.items)
        rank, faults = outranked(lambda u, v: np.einsum("id,id->i", users[u], items[v]), data)
        measures = [rank]
        kept = foreign.further.get("restore_user_e")
        if kept is not None and kept.shape == (users.shape[0] + 1, users.shape[1]):
            off = np.linalg.norm(kept[1:] - users, axis=1) / np.maximum(np.linalg.norm(users, axis=1), 1e-12)
            worst = float(off.max(initial=0.0))
            measures.append(
                Measure(
                    "the kept embeddings' distance", worst, KEPT, worst <= KEPT,
                    "‖kept ē_u − ē_u‖ / ‖ē_u‖ of the user furthest off, ē propagated over these data",
                )
            )  # fmt: skip
            faults = tuple(
                RowFault("user", int(row), float(off[row])) for row in np.argsort(-off)[:20] if off[row] > KEPT
            )
        return SelfCheck(tuple(measures), faults, HINT)

    def forget(self, task: Task) -> Erased:
        """InvalidInput, always."""
        raise InvalidInput(
            f"{task.foreign.path} is a LightGCN: every embedding is trained through the histories of its neighbors, "
            "and forgetting in a RecBole checkpoint of one is not supported. Retrain it without the forget set; "
            "`alteraser inspect` says what else in the file and beside it holds the data",
            path=str(task.foreign.path),
        )


def neural(kind: str, settings: Mapping[str, Any], decay: float) -> CrossEntropy | GraphBPR:
    """The loss of a checkpoint of this kind."""
    if kind == "lightgcn":
        return GraphBPR(int(settings.get("n_layers", 2)), float(settings.get("reg_weight") or 0.0))
    negatives = settings.get("negatives_sample_num", 1)
    return CrossEntropy(kind, float(negatives) if isinstance(negatives, int | float) else 1.0, decay)
