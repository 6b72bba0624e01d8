"""RecBole's NeuMF, its halves GMF and MLP, and LightGCN: what they score, and forgetting in them.

NeuMF and its halves (X. He et al., WWW 2017) are trained by binary cross-entropy on every
interaction and ``sample_num`` uniformly drawn items beside it, LightGCN (X. He et al., SIGIR 2020)
by BPR on embeddings propagated over the graph of all interactions. They are forgotten in by
``alteraser.neural``: damped Hessian-free Newton on the rows of the forget set, anchored, because
early stopping ended the training before a minimum. Tables change, layers stay. Of RecBole's losses
are left out: dropout, and LightGCN's penalty, a norm divided by the size of a batch, in whose place
stands a small ridge. Needs PyTorch; reading and checking do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._ranking import outranked
from alteraser.adapters._recbole_layers import halves, join
from alteraser.adapters.claims import Told, judged
from alteraser.adapters.contract import Foreign, ForeignErasing, ForeignOutcome, Method
from alteraser.adapters.selfcheck import Measure, RowFault, SelfCheck
from alteraser.data.interactions import Interactions, Removal
from alteraser.data.selection import Selection
from alteraser.errors import InvalidInput
from alteraser.runtime.extras import require

Array = npt.NDArray[Any]

KEPT = 1e-3
"""Rounding of float32 propagation is a thousandth of it."""

PASSES = 1
"""Passes over all rows after that over the rows of the forget set, at most: more were seen to bring
nothing."""

RIDGE = 0.1
"""λ at least: anchored, it has no slope where forgetting begins, and keeps rows with little data
from running away."""

UNKEPT = (
    "whether these are the data: it was saved without the embeddings of an evaluation, and over "
    "any graph they come out near those of one's items"
)
"""Of LightGCN."""

HINT = (
    "Look at the id maps, and whether these are the training interactions alone: RecBole "
    "splits what it loads."
)


# ---------------------------------------------------------------- scores


def logits(kind: str, P: Array, Q: Array, phi: Mapping[str, Array]) -> Array:
    """Scores (…) of user rows P (…, d) and item rows Q (…, d), which broadcast; a NeuMF row is
    GMF's, then MLP's.
    """
    mf = P.shape[-1]
    if kind != "gmf":
        user, item, bias, mf = halves(phi, P.shape[-1], kind)
        P = np.concatenate([P[..., :mf], P[..., mf:] @ user + bias], axis=-1)
        Q = np.concatenate([Q[..., :mf], Q[..., mf:] @ item], axis=-1)
    return np.asarray(join(kind, P, Q, phi, lambda x: np.maximum(x, 0), mf))


def propagated(data: Interactions, P: Array, Q: Array, layers: int) -> tuple[Array, Array]:
    """LightGCN's ē of all users and items: (1/(K + 1)) Σ_k (D^-½ A D^-½)^k E on the graph of
    ``data``, float64.
    """
    from scipy.sparse import csr_array

    left, right = ((counts + 1e-7) ** -0.5 for counts in (data.user_counts, data.item_counts))
    edges = csr_array(
        (left[data.user_rows] * right[data.indices], data.indices, data.indptr), shape=data.shape
    )
    users, items = P.astype(np.float64), Q.astype(np.float64)
    sums = [users, items]
    for _ in range(layers):
        users, items = edges @ items, edges.T @ users
        sums = [sums[0] + users, sums[1] + items]
    return sums[0] / (layers + 1), sums[1] / (layers + 1)


# ---------------------------------------------------------------- the losses


@dataclass(frozen=True)
class Neural:
    """What a neural recommender of RecBole's minimized."""

    kind: str
    negatives: int
    """sample_num"""
    weight_decay: float
    layers: int = 0
    """Of LightGCN's propagation."""

    @property
    def name(self) -> str:
        """For people."""
        names = {"neumf": "NeuMF", "gmf": "GMF", "mlp": "MLP", "lightgcn": "LightGCN"}
        return f"RecBole {names[self.kind]}"

    @property
    def formula(self) -> str:
        """One line with the numbers in it."""
        penalty = f" + {self.weight_decay:g}/2 · samples (‖P‖² + ‖Q‖²)" if self.weight_decay else ""
        if self.kind == "lightgcn":
            return (
                f"Σ_D E_j log(1 + exp(s_uj − s_uv)){penalty}, s of embeddings propagated "
                f"{self.layers} times"
            )
        return f"Σ_D [log(1 + exp(−s_uv)) + {self.negatives} E_j log(1 + exp(s_uj))]{penalty}"

    def check(self, foreign: Foreign, data: Interactions, *, threads: int = 0) -> SelfCheck:
        """Do training pairs outrank others, or does training, which may have ended early, know as
        much as it claims? Of LightGCN: are the embeddings it kept the propagation over ``data``?

        There, ranks alone tell little, and accuse nobody: propagation over any data draws a user
        near the items of these data, and training on these begins by drawing everybody together.
        """
        P, Q = foreign.users, foreign.items
        if self.kind != "lightgcn":

            def odds(u: Array, v: Array) -> Array:
                return logits(self.kind, P[u], Q[v], foreign.further)

            rank, faults = outranked(odds, data)
            return judged(SelfCheck((rank,), faults, HINT), Told.of(odds, data))
        users, items = propagated(data, P, Q, self.layers)

        def scores(u: Array, v: Array) -> Array:
            return np.asarray(np.einsum("id,id->i", users[u], items[v]))

        rank, faults = outranked(scores, data, least=0.0)
        kept = foreign.further.get("restore_user_e")
        if kept is None or kept.shape != (users.shape[0] + 1, users.shape[1]):
            return SelfCheck((rank,), faults, HINT, UNKEPT)
        off = np.linalg.norm(kept[1:] - users, axis=1) / np.maximum(
            np.linalg.norm(users, axis=1), 1e-12
        )
        worst = float(off.max(initial=0.0))
        meaning = "‖kept ē_u − ē_u‖ / ‖ē_u‖ of the user furthest off, ē propagated over these data"
        measure = Measure("the kept embeddings' distance", worst, KEPT, worst <= KEPT, meaning)
        furthest = [row for row in np.argsort(-off)[:20] if off[row] > KEPT]
        rows = tuple(RowFault("user", int(row), float(off[row])) for row in furthest)
        return SelfCheck((rank, measure), rows, HINT)

    @property
    def ranks(self) -> bool:
        """False: the layers and the graph have their part in a score."""
        return False

    @property
    def effects(self) -> tuple[Method, ...]:
        """The rows of the users who lost something."""
        return ("rows",)

    @property
    def shown(self) -> bool:
        """False: nothing of it can be worked out from the files."""
        return False

    def rests(self, erasing: ForeignErasing) -> bool:
        """False: early stopping ended the training, and a logistic loss without a ridge has no
        minimum to rest at.
        """
        return False

    def pass_seconds(
        self, foreign: Foreign, data: Interactions, *, threads: int = 0
    ) -> float | None:
        """None: a row takes as many steps as it needs."""
        return None

    def effect_left(self, erasing: ForeignErasing, erased: ForeignOutcome) -> float | None:
        """None: a network has no Gauss–Newton matrix here."""
        return None

    def local(self, erasing: ForeignErasing) -> ForeignOutcome:
        """The rows of the users who lost something, anchored; everything else stays. Raises as
        ``forget`` does.
        """
        return self._forgotten(erasing, alone=True)

    def forget(self, erasing: ForeignErasing) -> ForeignOutcome:
        """Anchored Hessian-free Newton, then a pass over all rows if the tolerance does not hold.

        Raises DependencyMissing without PyTorch.
        """
        return self._forgotten(erasing)

    def _forgotten(self, erasing: ForeignErasing, *, alone: bool = False) -> ForeignOutcome:
        require("torch", "torch", f"forgetting in {self.name}")
        from alteraser.adapters._recbole_modules import forget

        samples = len(erasing.before) * (1.0 if self.kind == "lightgcn" else 1.0 + self.negatives)
        ridge = max(samples * self.weight_decay / 2, RIDGE)
        removal = Removal(
            erasing.after,
            erasing.removed,
            erasing.removed.to_table().slice(0, 0),
            Selection.of(erasing.removed),
        )
        erased = forget(
            self.kind,
            self.layers,
            self.negatives,
            ridge,
            erasing,
            removal,
            min(erasing.max_passes, PASSES),
            alone,
        )
        if self.kind != "lightgcn":
            return erased
        users, items = propagated(erasing.after, erased.users, erased.items, self.layers)
        kept = {}
        for name, table in (("restore_user_e", users), ("restore_item_e", items)):
            if name in erasing.foreign.further:
                kept[name] = np.array(erasing.foreign.further[name])
                kept[name][1:] = table  # [PAD] has no edges, and its row stays
        return replace(erased, further=kept)


def neural(kind: str, settings: Mapping[str, Any], decay: float) -> Neural:
    """The loss of a checkpoint of this kind. Raises InvalidInput for settings that make no
    sense.
    """
    negatives, layers = settings.get("negatives_sample_num", 1), settings.get("n_layers", 2)
    if type(negatives) is not int or negatives < 1 or type(layers) is not int or layers < 1:
        raise InvalidInput(
            f"a checkpoint with sample_num = {negatives!r} and n_layers = {layers!r}; expected "
            "from 1 on"
        )
    return Neural(kind, negatives, decay, layers if kind == "lightgcn" else 0)
