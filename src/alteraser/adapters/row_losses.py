"""What implicit's BPR and LMF, LightFM, Surprise's SVD and Cornac's MF minimized, each from its
hyper-parameters.

    loss = svd(regularization=0.02)
        # a contract.ForeignLoss: checks itself against data, and forgets

What a stochastic trainer minimizes is read off its updates: the expectation of a step over the
samples it draws. That fixes the weight of every pair and, because each step also shrinks the rows
it touches, how the ridge is scaled. Where the library's documentation and its code differ, the code
is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters.selfcheck import Measure, RowFault, SelfCheck
from alteraser.errors import InvalidInput
from alteraser.models.factorization.rowloss import Logistic, Pairwise, Ridge, RowLoss, Squares

if TYPE_CHECKING:
    from alteraser.adapters.claims import AdamSteps
    from alteraser.adapters.contract import Foreign, ForeignErasing, ForeignOutcome, Method
    from alteraser.adapters.pair_trainer import PairTrainer
    from alteraser.adapters.rating_trainer import RatingTrainer
    from alteraser.adapters.strangers import SampledTrainer
    from alteraser.data.interactions import Interactions
    from alteraser.models.factorization.biased import BiasedFactors
    from alteraser.models.factorization.terms import RowProblem
    from alteraser.solvers.rows.terms import Slopes

Array = npt.NDArray[Any]

SHARE = 0.85
"""A gradient larger than this share of its parts is no trace of training. Models that stopped early
have 0.1 to 0.65 (BPR, whose steps stay noisy, the most); BPR on other users' data has 0.98."""

EARLY = 0.92
"""The same of BPR that was stopped after few epochs, where no training of ours tells more
(``strangers``): implicit's had 0.85 to 0.91 after 15 and 20 epochs on ML-100K and 60 on Frappe,
with 64 factors and its other defaults. Whether the data are the right ones is told by the share of
pairs that outrank, and by λ."""

FITS = 0.2
"""λ may be at most 1 / FITS times the one that fits the factors best. Where λ is right the ratio is
0.7 to 4, the more the earlier training stopped; on other users' data it is negative."""

OUTWARD = 0.08
"""Where weights are large the ridge is next to nothing beside them, and what a trainer leaves of
the gradient along the factors tells nothing of λ. It is judged against the terms then. LMF with
implicit's defaults on play counts and ratings, plain, in logarithms and times 40, left −0.25 to
0.06 of them, and 0.11 to 0.37 where users or items had been exchanged."""

OUTRANKED = 0.75
"""Of the training pairs, so many must score above a random other item of the same user."""

RANKED, LEAST, PAIRED = 0.9, 0.4, 10
"""Where the training pairs outrank others by RANKED and more, no user with PAIRED of them is below
LEAST: implicit's BPR on ML-100K and Frappe, defaults and trained on, had 0.59 to 0.94 for the least
of them; where one user in a hundred had another's interactions, 0.18 to 0.35."""

LEAST_USER = "least user"

LOOKED_AT = 2000
"""Users whose pairs are looked at one by one, evenly spread."""

BLIND = "a few percent of interactions too many or missing: ranks do not tell them"
"""Of BPR and logistic losses. With 1 % of random pairs added to or removed from the data the share
that outranks moves by 0.0005 to 0.005, from 0.91 to 0.99 by how long training went."""

HARDLY_BEGUN = (
    f"{BLIND}. And training had hardly begun: as much would be left of the gradient if a tenth of "
    "the users, or of the items, had the interactions of others, and of some even if half had"
)
"""Where more than SHARE is left. After 20 epochs on ML-100K 0.85 to 0.87 was, and 0.86 to 0.90 with
a tenth to a third of them exchanged; after 15 with up to six tenths of the users exchanged."""

EXPLAINED = 0.1
"""Share of the ratings' variance about μ that a model must explain on its own training data."""

DRAWS = {"pairwise": 2, "logistic": 16}
"""Negatives that ``local`` measures on: an interaction's, a row's. Rows are solved on as many as
otherwise."""

AFFORDABLE = 200_000
"""Terms up to which ``local`` writes expectations out: it has to cost less than the trainer's own
refit."""

CAUTION = 2.0
"""Damping of ``local`` over 1/(η E): with 1 a second pass goes too far, with 4 much of the effect
is missing."""

PASSES = 1
"""Passes of ``local`` over all rows, for squares."""

SAMPLE = 200
AT_REST = 0.02
"""Median gradient share of SAMPLE users' rows above which a model is not at rest: stopped ones have
0.1 and more."""

WORST = 20
PAIRS = 50_000  # training pairs that are compared with a random item each


@dataclass(frozen=True)
class RowSolved:
    """A loss whose rows are solved by damped Newton; see
    ``alteraser.models.factorization.rowloss``.
    """

    name: str
    loss: RowLoss
    seed: int = 0
    """Of negatives, in the check."""
    steps: float | None = None
    """Learning rate times epochs, where the container says both and the steps were plain gradient
    steps."""
    trainer: SampledTrainer | None = None
    """How it was trained, where the container says and we can do the same."""
    adam: AdamSteps | None = None
    """Of a loss that is judged by what its scores claim (``claims``)."""

    @property
    def formula(self) -> str:
        """The loss with its numbers."""
        loss, ridge = self.loss, self.loss.ridge
        scaling = {"row": "", "samples": " × samples of the row", "total": " × all samples"}[
            ridge.scaling
        ]
        rates = sorted({ridge.users, ridge.items, ridge.user_biases, ridge.item_biases})
        penalty = (
            f"λ/2 ‖Θ‖²{scaling}, λ = "
            f"{' to '.join(f'{rate:g}' for rate in (rates[0], rates[-1])[: len(rates)])}"
        )
        if isinstance(loss, Squares):
            return f"½ Σ_D (r − {'μ − ' if loss.centered else ''}s)² + {penalty}"
        if isinstance(loss, Pairwise):
            drawn = "by popularity" if loss.popular else "uniformly"
            return (
                f"Σ_D E_j log(1 + exp(s_uj − s_ui)) + {penalty}; j drawn {drawn}, positives "
                f"{loss.rejected}"
            )
        missing = f" + N E_j log(1 + exp(s_j)), N = min({loss.most}, {loss.negatives:g} |D_row|)"
        return f"Σ_D c (log(1 + exp(s)) − y s){missing if loss.negatives else ''} + {penalty}"

    def check(self, foreign: Foreign, data: Interactions, *, threads: int = 0) -> SelfCheck:
        """Beside a training of our own, or: is the gradient on ``data`` small against its parts,
        and do training pairs outrank random ones?
        """
        from alteraser.models.factorization.terms import RowProblem
        from alteraser.runtime.workers import default_threads
        from alteraser.solvers.rows.terms import slopes

        factors, threads = self._factors(foreign), threads or default_threads()
        pairwise = isinstance(self.loss, Pairwise)
        # of LMF and MF a gradient tells nothing that a training beside it does not
        beside = None if pairwise else self._beside(factors, data, threads)
        if beside is not None:
            return beside
        problem = RowProblem(self.loss, data, factors.layout, self.seed)
        fit = self._fit(problem, factors, foreign)
        # above it single users tell more, and below it a training beside it costs less to look at
        beside = self._beside(factors, data, threads) if pairwise and fit.value < RANKED else None
        if beside is not None:
            return beside
        here = slopes(problem, factors, threads=threads)
        measures = [fit, *self._gradient_measures(here)]
        clear = here.share <= SHARE and all(measure.passed for measure in measures)
        beside = None if clear or not pairwise else self._beside(factors, data, threads)
        found = beside or self._by_gradient(factors, data, here, measures)
        return found if self.adam is None else self._by_claims(found, factors, data)

    def _by_claims(self, found: SelfCheck, factors: BiasedFactors, data: Interactions) -> SelfCheck:
        """Of steps that adapt their rates no gradient tells how far they went."""
        from alteraser.adapters.claims import Told, judged

        assert self.adam is not None
        if all(measure.name != LEAST_USER for measure in found.measures):
            found = replace(found, blind="")  # what else is looked at sees less than the claim does
        rank = factors.layout.rank
        told = Told.of(
            factors.scores,
            data,
            start=self.adam.start(data, rank),
            far=self.adam.far(data, rank),
            seed=self.seed,
        )
        return judged(found, told, also=(LEAST_USER,))

    def _by_gradient(
        self, factors: BiasedFactors, data: Interactions, here: Slopes, measures: list[Measure]
    ) -> SelfCheck:
        """What ``measures`` of the whole say, and of BPR its least user."""
        worst = [
            RowFault(side, int(row), float(shares[row]))
            for side, shares in (("user", here.user_shares), ("item", here.item_shares))
            for row in np.argsort(-shares, kind="stable")[:WORST]
            if shares[row] > self._allowed
        ]
        hint = (
            "Are these the data, and the ids, that it was trained on? Or did training stop "
            "after a few epochs, or with few factors? Then --unchecked goes on."
        )
        if 0 < here.fitting_ridge < FITS:
            hint += (
                f" A regularization {here.fitting_ridge:.2g} times as large would fit these "
                "factors better."
            )
        if isinstance(self.loss, Pairwise) and measures[0].value >= RANKED:
            measure, user = _least(factors, data, self.seed)
            measures = [*measures, measure]
            if not measure.passed:
                worst = [RowFault("user", user, measure.value)]
                hint = "Is this user's row, or are their ids, another's?"
        return SelfCheck(
            tuple(measures),
            tuple(sorted(worst, key=lambda fault: -fault.value)[:WORST]),
            hint,
            self._blind(here.share),
        )

    def _blind(self, share: float) -> str:
        """What measures of the whole do not see, ``share`` of the gradient's parts being left."""
        if isinstance(self.loss, Squares):
            return ""
        return HARDLY_BEGUN if isinstance(self.loss, Pairwise) and share > SHARE else BLIND

    def _beside(self, factors: BiasedFactors, data: Interactions, threads: int) -> SelfCheck | None:
        """What may be a short training or other data, beside a training of our own; None where
        there is none.
        """
        from alteraser.adapters.strangers import strange

        weights = data.target if isinstance(self.loss, Logistic) else None
        # the gradient's way names them
        refused = weights is not None and bool((weights < 0).any())
        if self.trainer is None or refused:
            return None
        found = strange(factors, data, self.loss, self.trainer, seed=self.seed, threads=threads)
        return None if found is None else found.check

    @property
    def _allowed(self) -> float:
        """Share of the parts of a gradient that it may be."""
        return EARLY if isinstance(self.loss, Pairwise) else SHARE

    def _fit(self, problem: RowProblem, factors: BiasedFactors, foreign: Foreign) -> Measure:
        """How well the factors tell the data from what is none."""
        if isinstance(self.loss, Squares):
            return _explained(problem, factors, foreign)
        return _outranked(problem, factors, self.seed)

    def _gradient_measures(self, here: Slopes) -> Iterator[Measure]:
        """Whether the gradient vanishes, and at which λ it would."""
        share, fitting = here.share, here.fitting_ridge
        # else the gradient has one part only
        if self.loss.ridge.positive or not isinstance(self.loss, Pairwise):
            meaning = (
                "the gradient of the loss over the sum of its parts, both summed over rows; "
                "0 at a minimum"
            )
            yield Measure("gradient share", share, self._allowed, share <= self._allowed, meaning)
        if not self.loss.ridge.positive:
            return
        heavy = (
            isinstance(self.loss, Logistic) and self.loss.weighted and abs(here.along) <= OUTWARD
        )
        if not heavy or fitting >= FITS:
            meaning = (
                "the regularization that fits the factors best, over the one stated; 1 at a minimum"
            )
            yield Measure("regularization", fitting, FITS, fitting >= FITS, meaning)
        else:
            meaning = "the terms' gradient along the factors over its parts; too small to tell λ by"
            yield Measure("gradient along the factors", here.along, OUTWARD, True, meaning)

    def forget(self, erasing: ForeignErasing) -> ForeignOutcome:
        """See ``contract.ForeignLoss.forget``. Raises InvalidInput for a loss without a ridge: its
        rows have no minimum.
        """
        from alteraser.adapters.contract import ForeignOutcome
        from alteraser.erasers.alternating import alternate, measured, row_push
        from alteraser.models.factorization.terms import RowProblem

        original = self._factors(erasing.foreign)
        if not self.loss.ridge.positive:
            raise InvalidInput(
                f"{erasing.foreign.path} was trained without regularization, by steps that stopped "
                "early: its loss has no minimum that forgetting could go to. Name the ridge it is "
                "to have with --regularization"
            )
        before, after = (
            RowProblem(self.loss, data, original.layout, erasing.seed)
            for data in (erasing.before, erasing.after)
        )
        push = row_push(before, after, original, threads=erasing.threads)
        touched = (
            np.flatnonzero(erasing.removed.user_counts),
            np.flatnonzero(erasing.removed.item_counts),
        )
        found = alternate(
            after,
            original,
            scale=push.norm,
            tolerance=erasing.tolerance,
            max_passes=erasing.max_passes,
            touched=touched,
            threads=erasing.threads,
            on_pass=erasing.on_pass,
        )
        stored = found.factors.like(original)
        residual, objective = measured(after, stored, push.norm, erasing.threads)
        return ForeignOutcome(
            users=stored.users,
            items=stored.items,
            user_biases=_user_biases(erasing.foreign, stored, touched[0]),
            item_biases=stored.item_biases,
            offset=after.offset if isinstance(self.loss, Squares) else None,
            residual=residual,
            converged=residual <= erasing.tolerance,
            passes=found.passes,
            rows_updated=found.rows_updated,
            reason=found.reason,
            route=("passes",),
            solver="newton-rows",
            push=push.norm,
            training_floor=push.floor,
            objective_before=push.objective,
            objective_after=objective,
            trace=found.trace,
        )

    ranks = True
    shown = False

    @property
    def effects(self) -> tuple[Method, ...]:
        """Of sampled losses the users' rows alone; else also passes, where they lead nearer."""
        return ("local", "rows") if isinstance(self.loss, Squares) else ("rows",)

    def rests(self, erasing: ForeignErasing) -> bool:
        """True when training has left no more of its gradient than the tolerance allows of the
        deletion's push.

        The rows of a few users tell at once of nearly every model that it is not.
        """
        from alteraser.erasers.alternating import row_push
        from alteraser.models.factorization.terms import RowProblem
        from alteraser.runtime.workers import default_threads
        from alteraser.solvers.rows.terms import slopes

        if not self.loss.ridge.positive:
            return False
        original, data = self._factors(erasing.foreign), erasing.before
        before, after = (
            RowProblem(self.loss, each, original.layout, erasing.seed)
            for each in (data, erasing.after)
        )
        alive = np.flatnonzero(data.user_counts)
        few = data.keep(np.isin(data.user_rows, alive[:: max(1, alive.size // SAMPLE)]))
        affordable = 0 if before.drawn else before.affordable * len(data)  # as all of them are
        part = RowProblem(self.loss, few, original.layout, erasing.seed, affordable, data)
        shares = slopes(part, original, threads=erasing.threads or default_threads()).user_shares
        if float(np.median(shares[few.user_counts > 0])) > AT_REST:
            return False
        return row_push(before, after, original, threads=erasing.threads).floor <= erasing.tolerance

    def pass_seconds(
        self, foreign: Foreign, data: Interactions, *, threads: int = 0
    ) -> float | None:
        """None: a row takes as many steps as it needs."""
        return None

    def local(self, erasing: ForeignErasing) -> ForeignOutcome:
        """See ``contract.ForeignLoss.local``: anchored, damped rows; of sampled losses the users'
        rows of the deletion alone.

        Without a ridge too: damping makes every row well defined. ``residual`` counts what the
        damping holds back as done, in the norm of (H + μ)⁻¹, see ``response.respond``; where
        negatives are drawn it is taken on few.
        """
        from alteraser.adapters.contract import ForeignOutcome
        from alteraser.erasers.response import respond
        from alteraser.models.factorization.terms import RowProblem

        original = self._factors(erasing.foreign)
        squares = isinstance(self.loss, Squares)
        affected = np.flatnonzero(erasing.removed.user_counts)
        both = (erasing.before, erasing.after)
        loss = (
            self.loss if squares else self.loss.model_copy(update={"draws": DRAWS[self.loss.kind]})
        )
        drawn_by = None if squares else erasing.before  # on both sides: the deletion moves no draw
        before, after = (
            RowProblem(loss, data, original.layout, erasing.seed, AFFORDABLE, whole=drawn_by)
            for data in both
        )
        touched = (affected, np.flatnonzero(erasing.removed.item_counts))
        few = None
        # their items stay: sampling moves them by more than any deletion, see explanation/losses
        if not squares:
            first, second = (
                RowProblem(
                    self.loss,
                    data.keep(np.isin(data.user_rows, affected)),
                    original.layout,
                    erasing.seed,
                    AFFORDABLE,
                    data,
                )
                for data in both
            )
            few = (first, second)
        found = respond(
            before,
            after,
            original,
            steps=self.steps and self.steps / CAUTION,
            users=few,
            passes=min(PASSES if self.steps else 0, erasing.max_passes),
            touched=touched,
            shares=isinstance(self.loss, Logistic),
            threads=erasing.threads,
            on_pass=erasing.on_pass,
        )
        theta = found.factors
        return ForeignOutcome(
            users=theta.users,
            items=theta.items,
            user_biases=_user_biases(erasing.foreign, theta, touched[0]),
            item_biases=theta.item_biases,
            offset=after.offset if squares else None,
            method=found.method,
            residual=found.residual,
            damped=True,
            converged=False,
            passes=found.passes,
            rows_updated=found.rows_updated,
            reason="passes",
            route=("passes",),
            solver="newton-rows",
            push=found.push,
            objective_before=found.objective_before,
            objective_after=found.objective_after,
            trace=found.trace,
        )

    def effect_left(self, erasing: ForeignErasing, erased: ForeignOutcome) -> float | None:
        """See ``contract.ForeignLoss.effect_left``: of squares alone."""
        from alteraser.models.factorization.biased import BiasedFactors
        from alteraser.models.factorization.terms import RowProblem
        from alteraser.runtime.workers import default_threads
        from alteraser.solvers.missing import effect_left_of_squares

        if not isinstance(self.loss, Squares):
            return None
        original = self._factors(erasing.foreign)
        new = BiasedFactors(erased.users, erased.items, erased.user_biases, erased.item_biases)
        before, after = (
            RowProblem(self.loss, data, original.layout, erasing.seed)
            for data in (erasing.before, erasing.after)
        )
        return effect_left_of_squares(
            before, after, original, new, threads=erasing.threads or default_threads()
        )

    def _factors(self, foreign: Foreign) -> BiasedFactors:
        """What the loss is a function of. A user's bias cancels in every pair, and so is none of
        it.
        """
        from alteraser.models.factorization.biased import BiasedFactors

        mine = None if isinstance(self.loss, Pairwise) else foreign.user_biases
        return BiasedFactors(foreign.users, foreign.items, mine, foreign.item_biases)


def _user_biases(foreign: Foreign, stored: BiasedFactors, touched: Array) -> Array | None:
    """As solved; where the loss does not know them, as they were, and zero for whoever forgets
    something.
    """
    if stored.user_biases is not None or foreign.user_biases is None:
        return stored.user_biases
    biases = np.array(foreign.user_biases)
    biases[touched] = 0
    return biases


def implicit_bpr(
    regularization: float,
    *,
    verify_negative_samples: bool = True,
    trainer: PairTrainer | None = None,
) -> RowSolved:
    """BPR of implicit: a pair drawn from the data, a negative in proportion to popularity, skipped
    where it is liked.

    Each step also takes ``λ x`` off the three rows it touches, hence the ridge by samples
    (``bpr_update``, 0.7.3).
    """
    rejected: Any = "skip" if verify_negative_samples else "keep"
    loss = Pairwise(
        ridge=Ridge.of(regularization, scaling="samples"), popular=True, rejected=rejected
    )
    return pairwise(loss, trainer)


def pairwise(loss: Pairwise, trainer: PairTrainer | None) -> RowSolved:
    """BPR by plain gradient steps of one rate; None where the container does not say which."""
    return RowSolved("BPR", loss, steps=None if trainer is None else trainer.steps, trainer=trainer)


def recbole_bpr(weight_decay: float, adam: AdamSteps | None = None) -> RowSolved:
    """RecBole's BPR: one uniform negative a pair that the user never met, mean over batches, Adam's
    weight decay.
    """
    from alteraser.adapters.claims import AdamSteps

    loss = Pairwise(ridge=Ridge.of(weight_decay, scaling="total"))
    return RowSolved("BPR", loss, adam=adam or AdamSteps())


def implicit_lmf(
    regularization: float, neg_prop: float, factors: int, *, trainer: SampledTrainer | None = None
) -> RowSolved:
    """LMF of implicit, logistic MF (Johnson 2014): c = r on what was observed, neg_prop draws an
    interaction, capped.

    The cap is d + 2, see ``Logistic.most`` (``lmf_update``, 0.7.3). Empty rows are zero there, as
    they are here.
    """
    loss = Logistic(
        ridge=Ridge.of(regularization), negatives=neg_prop, most=factors + 2, weighted=True
    )
    return RowSolved("logistic MF", loss, trainer=trainer)


def svd(
    regularization: float | None = None,
    *,
    users: float = 0.02,
    items: float = 0.02,
    user_biases: float = 0.02,
    item_biases: float = 0.02,
    biased: bool = True,
    trainer: RatingTrainer | None = None,
) -> RowSolved:
    """Surprise's SVD and Cornac's MF: ½ e² and λ/2 (‖p‖² + ‖q‖² + b² + c²) at every rating; μ the
    mean rating.

    Without biases μ = 0 in both. ``regularization`` sets all four rates (Cornac's ``lambda_reg``).
    """
    if regularization is not None:
        users = items = user_biases = item_biases = regularization
    ridge = Ridge(
        users=users,
        items=items,
        user_biases=user_biases,
        item_biases=item_biases,
        scaling="samples",
    )
    return RowSolved(
        "biased MF" if biased else "MF",
        Squares(ridge=ridge, centered=biased),
        steps=trainer.steps or None if trainer else None,
        trainer=trainer,
    )


def lightfm(loss: str, user_alpha: float, item_alpha: float) -> RowSolved:
    """LightFM with one identity feature a row: ``logistic`` on the observed cells, or ``bpr``.

    Every sample shrinks all rows by α, hence the ridge by all samples. ``warp`` and ``warp-kos``
    are refused: the weight of a WARP step is a step function of a rank that was estimated by how
    many draws it took to find a violating item, so the expected step is the gradient of no
    function, and a row has no minimum to be put at.

    With bpr LightFM moves a user's bias by the size of every step although it cancels in the pair:
    a trace of how many there were that no score depends on. It is zeroed for users who forget
    something and left alone for all others.
    """
    ridge = Ridge(
        users=user_alpha,
        user_biases=user_alpha,
        items=item_alpha,
        item_biases=item_alpha,
        scaling="total",
    )
    if loss == "logistic":
        return RowSolved("LightFM logistic", Logistic(ridge=ridge))
    if loss == "bpr":
        return RowSolved("LightFM BPR", Pairwise(ridge=ridge, popular=True))
    if loss in ("warp", "warp-kos"):
        raise InvalidInput(
            f"LightFM's {loss} loss has no row to solve: its steps follow a rank that was "
            "estimated by sampling, and are the gradient of no function. Retrain without the "
            "data, or train with the bpr or logistic loss"
        )
    raise InvalidInput(f"LightFM has no loss {loss!r}: expected logistic, bpr, warp or warp-kos")


def _explained(problem: RowProblem, factors: BiasedFactors, foreign: Foreign) -> Measure:
    data = problem.interactions
    r = np.ones(len(data)) if data.target is None else data.target
    rest = r - foreign.offset - factors.scores(data.user_rows, data.indices)
    about = r - problem.offset
    variance = float(about @ about)
    value = 1.0 - float(rest @ rest) / variance if variance > 0 else 1.0
    meaning = "share of the ratings' variance about their mean that the model explains"
    return Measure("explained", value, EXPLAINED, value >= EXPLAINED, meaning)


def _least(factors: BiasedFactors, data: Interactions, seed: int) -> tuple[Measure, int]:
    least, user = least_user(factors, data, seed=seed)
    meaning = "share of their pairs that score above random items, of the user for whom it is least"
    return Measure(LEAST_USER, least, LEAST, least >= LEAST, meaning), user


def _outranked(problem: RowProblem, factors: BiasedFactors, seed: int) -> Measure:
    value = outranking(factors, problem.interactions, seed=seed)
    meaning = (
        "share of training pairs that score above a random item which their user has not "
        "met; half by chance"
    )
    return Measure("outranked", value, OUTRANKED, value >= OUTRANKED, meaning)


def outranking(factors: BiasedFactors, data: Interactions, *, seed: int = 0) -> float:
    """Share of the positive pairs (u, i) with s_ui > s_uj, j a random item with interactions that u
    has not met.

    At most PAIRS of them, evenly spread; a tie counts half. 1 where there is nothing to compare.
    """
    positive = np.flatnonzero(np.ones(len(data), bool) if data.target is None else data.target > 0)
    positive = positive[:: max(1, len(positive) // PAIRS)]
    users, items = data.user_rows[positive], data.indices[positive].astype(np.int64)
    alive = np.flatnonzero(data.item_counts)
    rng = np.random.default_rng(seed)
    others = alive[rng.integers(0, max(alive.size, 1), users.size)] if alive.size else items
    fits = data.locate(users, others) < 0
    users, items, others = users[fits], items[fits], others[fits]
    if not users.size:
        return 1.0
    difference = factors.scores(users, items) - factors.scores(users, others)
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def least_user(
    factors: BiasedFactors, data: Interactions, *, seed: int = 0, draws: int = 10
) -> tuple[float, int]:
    """(least share over users, that user) of a user's pairs that score above ``draws`` random items
    each.

    Of users with PAIRED pairs, LOOKED_AT of them at most; items that the user has met are left out;
    1 without any.
    """
    positive = np.ones(len(data), bool) if data.target is None else data.target > 0
    counts = np.bincount(data.user_rows[positive], minlength=data.shape[0])
    chosen = np.flatnonzero(counts >= PAIRED)
    chosen = chosen[:: max(1, -(-chosen.size // LOOKED_AT))]
    alive = np.flatnonzero(data.item_counts)
    if not chosen.size:
        return 1.0, -1
    pairs = np.flatnonzero(positive & np.isin(data.user_rows, chosen))
    users, items = data.user_rows[pairs], data.indices[pairs].astype(np.int64)
    rng, mine = np.random.default_rng(seed), factors.scores(users, items)
    above, looked = np.zeros(data.shape[0]), np.zeros(data.shape[0])
    for _ in range(draws):
        others = alive[rng.integers(0, alive.size, users.size)]
        fits = data.locate(users, others) < 0
        won = mine > factors.scores(users, others)
        above += np.bincount(users[fits], weights=won[fits], minlength=above.size)
        looked += np.bincount(users[fits], minlength=above.size)
    share = np.where(looked > 0, above / np.maximum(looked, 1), 1.0)
    user = int(np.argmin(share))
    return float(share[user]), user
