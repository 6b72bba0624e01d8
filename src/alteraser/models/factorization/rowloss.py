"""Losses other than weighted squares over all cells: what each trainer minimized, as data.

Every one is a sum of terms w ℓ(s; y) over scores s that are linear in a row, plus a ridge, so that
with the other side fixed a row's loss is convex and smooth and has one minimum (where it is
regularized):

    squares     ℓ = ½ (y − s)²
        biased matrix factorization (Koren et al. 2009)
    logistic    ℓ = log(1 + eˢ) − y s,   y ∈ {0, 1}
        logistic MF (Johnson 2014), LightFM's logistic
    pairwise    ℓ = log(1 + e⁻ˢ),   s = s_ui − s_uj           BPR (Rendle et al., UAI 2009)

Where a trainer draws negatives, the loss here is its expectation over the draws: what stochastic
gradient steps descend on average. A ridge that a trainer applies at every sample, to the rows of
that sample, adds up to λ times the weight of the samples that a row is in (``samples``); one
applied to every row at every sample to λ times all of it (``total``).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from alteraser.settings import Configured

Rate = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_CONFIG = ConfigDict(use_attribute_docstrings=True)


class Ridge(Configured):
    """½ Σ_rows ρ (λ ‖x‖² + λ_b b²), with λ of embeddings and biases on either side.

    >>> Ridge.of(0.02, scaling="samples").user_biases
    0.02
    """

    model_config = _CONFIG

    users: Rate
    items: Rate
    user_biases: Rate
    item_biases: Rate

    scaling: Literal["row", "samples", "total"] = "row"
    """ρ: 1; the weight of the terms that the row is in; or the weight of all terms."""

    @classmethod
    def of(cls, value: float, *, scaling: Literal["row", "samples", "total"] = "row") -> Ridge:
        """The same λ for everything."""
        return cls(users=value, items=value, user_biases=value, item_biases=value, scaling=scaling)

    @property
    def positive(self) -> bool:
        """True when every parameter is regularized."""
        return min(self.users, self.items, self.user_biases, self.item_biases) > 0


class Squares(Configured):
    """½ Σ_D (r − μ − s)² over the observed cells: Surprise's SVD, Cornac's MF.

    Their steps are ``x += lr (e z − λ x)`` per rating, hence ``scaling="samples"`` and no factor 2
    before λ.
    """

    model_config = _CONFIG

    kind: Literal["squares"] = "squares"
    ridge: Ridge

    centered: bool = True
    """μ is the mean of r over the data that the loss is taken on; else 0."""


class Logistic(Configured):
    """Σ_D c (log(1 + eˢ) − y s) + Σ_rows N Σ_j q_j log(1 + e^{s_j}): logistic MF and LightFM's
    logistic.

    y = 1 where r > 0. q is the distribution that negatives are drawn from: in proportion to a row's
    number of interactions, positives not excepted, as implicit does. N = min(``most``,
    ``negatives`` · |D_row|) draws a row, on either side of its own; so a missing cell may weigh
    differently for its user and for its item, and then the two sides have no common loss: training
    ends at a point where every row minimizes its own, and so does forgetting.
    """

    model_config = _CONFIG

    kind: Literal["logistic"] = "logistic"
    ridge: Ridge

    negatives: Rate = 0.0
    """Negatives per interaction; 0: observed cells alone."""

    most: int | None = None
    """Cap on N. implicit 0.7.3 compares with the width of its factor arrays, d + 2, where its
    documentation has the number of items; so N is nearly always d + 2."""

    weighted: bool = False
    """c = r; else 1."""

    draws: int = Field(default=256, ge=1)
    """Negatives a row draws, each weighing N / draws, where the expectation is too much work."""


class Pairwise(Configured):
    """Σ_{(u,i)∈D} E_j log(1 + e^{−(s_ui − s_uj)}): BPR.

    With ``popular`` j is drawn in proportion to its number of interactions (implicit, LightFM),
    else uniformly (RecBole). A j that u interacted with is ``rejected``: the sample is skipped
    (implicit), drawn again (RecBole, LightFM), or kept (implicit without
    ``verify_negative_samples``).
    """

    model_config = _CONFIG

    kind: Literal["pairwise"] = "pairwise"
    ridge: Ridge
    popular: bool = False
    rejected: Literal["skip", "redraw", "keep"] = "redraw"

    draws: int = Field(default=8, ge=1)
    """Negatives an interaction draws, each weighing 1 / draws, where the expectation is too much
    work."""


RowLoss = Squares | Logistic | Pairwise
