"""How much of the data do factors of BPR, logistic or biased MF not know? Asked beside a training
of our own on these data.

After few epochs a gradient is nearly whole, and most of what ranks is popularity, which other
users' data have as well. What tells is each row's own taste,

    t_u = share of comparisons with (p_u − p̄)·(q_i − q_j) > 0,   i of u, j by popularity, not of u
    T   = t over all comparisons,      F = share of users with t_u < ½

with p̄ the mean over users with interactions; of ratings, where p_u predicts r_ui nearer than the
row of a user drawn at random; for items with sides exchanged. Where rows are a
stranger's, comparisons come out either way: T and F are ½, however far training went. What they are
on the very data, a training of our own on D says, of as many epochs:

    strange interactions = (T_ours − T) / (T_ours − ½)
    strange users        = (F − F_ours) / (½ − F_ours),      items likewise

each about the share of them that the model was not trained on. No file tells how often ``fit`` was
called, and each call goes on from where the last one ended: nobody is accused of what as many
epochs again, or twice as many, explain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from alteraser.adapters.selfcheck import Measure, SelfCheck
from alteraser.adapters.tastes import Comparisons, Predictions, Tastes
from alteraser.data.interactions import Interactions
from alteraser.models.factorization.biased import BiasedFactors
from alteraser.models.factorization.rowloss import Logistic, Squares

STRANGE = {"interactions": 0.2, "users": 0.1, "items": 0.1}
"""Share of strangers up to which data count as the model's own; the spread over rows is added to
it. How well rows know theirs differs from one training to the next, also where nobody is strange,
and T by that: twice as much is left to it."""

SPREAD = 3.0
"""Standard errors that a difference between two trainings may have."""

TELLING = 6.0
"""Standard errors that our training has to be away from ½ for it to tell anything."""

FITS = 3
"""Calls of ``fit`` that a model may have seen."""

AFFORDABLE = 1.5e9
"""Work of a training of our own (``SampledTrainer.work``) up to which it is made."""

HINT = (
    "Are these the data, and the ids, that it was trained on, and for as many epochs as the file "
    "says? Then --unchecked goes on."
)


class SampledTrainer(Protocol):
    """How a sampled loss was trained; a run of it on other data, from a start of its own."""

    @property
    def epochs(self) -> int:
        """Of one call of ``fit``."""
        ...

    def work(self, data: Interactions, rank: int) -> float:
        """Numbers that a call reads and writes, about: 10⁹ take a second or two."""
        ...

    def fits(
        self, loss: Any, data: Interactions, rank: int, *, seed: int = 0, threads: int = 1
    ) -> Iterator[BiasedFactors]:
        """The factors after each call of ``fit``, on and on."""
        ...


@dataclass(frozen=True)
class Share:
    """What one comparison with a training of ours found."""

    what: str
    value: float
    """Share of strangers; below 0 where the model knows the data better than ours does"""
    limit: float
    told: bool
    """Whether the training of ours shows anything at all"""

    @classmethod
    def of(cls, what: str, theirs: float, ours: float, error: float, difference: float) -> Share:
        """Of T, or 1 − F, with the standard errors of ours and of the difference."""
        more = ours - 0.5
        told = more > TELLING * error
        scale = more if told else 1.0
        return cls(what, (ours - theirs) / scale, STRANGE[what] + SPREAD * difference / scale, told)

    @property
    def passed(self) -> bool:
        """Also where nothing can be told."""
        return not self.told or self.value <= self.limit


@dataclass(frozen=True)
class Strange:
    """What a comparison with a training of our own found."""

    shares: tuple[Share, ...]
    """Of interactions, users, items."""
    epochs: int
    weighted: bool
    """Whether the loss takes weights, which no comparison sees"""

    @property
    def passed(self) -> bool:
        """Whether the data may be the model's."""
        return all(share.passed for share in self.shares)

    @property
    def check(self) -> SelfCheck:
        """For people."""
        meaning = (
            "share of the {} that the model does not know: how much less {} than after a training "
            f"of ours of {self.epochs} epochs on these data; 1 for other data"
        )
        how = {
            "interactions": "its users' rows tell what is theirs",
            "users": "often a user's row tells what is theirs",
            "items": "often an item's row tells who its users are",
        }
        measures = tuple(
            Measure(
                f"strange {share.what}",
                share.value,
                share.limit,
                share.passed,
                meaning.format(share.what, how[share.what]),
            )
            for share in self.shares
        )
        return SelfCheck(measures, (), HINT, self.blind)

    @property
    def blind(self) -> str:
        """What the comparison does not see."""
        told = [share for share in self.shares if share.told]
        if not told:
            return (
                f"whether these are the data: {self.epochs} epochs on them, a training of ours, "
                "leave no taste that could be told from another's"
            )
        limits = ", ".join(f"{share.limit:.0%} of the {share.what}" for share in told)
        return (
            f"less than about {limits} being others', too many or missing: two trainings of so few "
            f"epochs differ by that{'. And weights' if self.weighted else ''}"
        )


def strange(
    factors: BiasedFactors,
    data: Interactions,
    loss: Any,
    trainer: SampledTrainer,
    *,
    seed: int,
    threads: int = 1,
) -> Strange | None:
    """The comparison; None where a training of our own would take too long."""
    rank = factors.layout.rank
    if not 0 < trainer.work(data, rank) <= AFFORDABLE:
        return None
    known = _knowing(data, loss, seed)
    theirs, found = known(factors), None
    fits = trainer.fits(loss, data, rank, seed=seed, threads=threads)
    for count, theta in enumerate(islice(fits, FITS), start=1):
        shares = tuple(_shares(theirs, known(theta)))
        found = Strange(shares, count * trainer.epochs, isinstance(loss, Logistic))
        if found.passed:
            break
    return found


def _knowing(
    data: Interactions, loss: Any, seed: int
) -> Callable[[BiasedFactors], tuple[Tastes, Tastes]]:
    """What the users and items of a model know of theirs."""
    if isinstance(loss, Squares):
        ours, other = (Predictions.of(data, side, loss, seed) for side in ("user", "item"))
        return lambda theta: (ours.tastes(theta), other.tastes(theta.flipped))
    users, items = (Comparisons.of(data, side, seed) for side in ("user", "item"))
    return lambda theta: (
        users.tastes(theta.users, theta.items),
        items.tastes(theta.items, theta.users),
    )


def _shares(theirs: tuple[Tastes, Tastes], ours: tuple[Tastes, Tastes]) -> Iterator[Share]:
    users, mine = theirs[0], ours[0]
    yield Share.of("interactions", users.share, mine.share, mine.error(), mine.error(users))
    for what, them, us in zip(("users", "items"), theirs, ours, strict=True):
        yield Share.of(what, 1 - them.low, 1 - us.low, us.low_error(), us.low_error(them))
