"""What may be said of another library's model that went on to an optimum: what ``verify`` will say
of the file.

B, C  at an optimum for what remains, by the certificate of our own models: the loss of ALS kinds is
theirs L     the deletion's effect and nothing else: of a model that was at rest this is the same,
to its tolerance D     neither: the loss is another one, or going on was another training that has
not arrived
"""

from __future__ import annotations

import numpy as np

from alteraser.adapters.als import ALS, IN_PLACE
from alteraser.adapters.contract import Array, ForeignErasing, Standing
from alteraser.data.interactions import Interactions
from alteraser.erasers.filtered import ASKERS, anchored_residual
from alteraser.erasers.shift import Shift
from alteraser.evidence.certificate import Certificate, Limits, certify
from alteraser.evidence.certificate.plain import Plain
from alteraser.models import Factors
from alteraser.runtime.workers import default_threads

FAR = 1e-3
"""Distance of an item's row from its minimum given the users, over its size, from which no optimum
is near."""

NOWHERE = Standing(
    "D", "going on to an optimum was another training, and it has not come to rest at one"
)


def certified(
    loss: ALS,
    data: Interactions,
    pair: tuple[Array, Array],
    before: tuple[Array, Array] | None = None,
    *,
    threads: int = 0,
) -> Certificate | None:
    """The certificate of factors (m, d) and (n, d) on ``data`` (``target`` is r); None where class
    D is all it can say.

    That is told by rows first, which are quick to look at. Repeated pairs, which count in the
    ridge, have none, and factors that fill the memory.
    """
    large = pair[0].nbytes + pair[1].nbytes > IN_PLACE
    if large or data.multiplicity is not None or loss.objective.regularization == 0:
        return None
    factors, weighted = _factors(pair), loss.weighted(data)
    plain, limits = Plain(loss.objective, weighted, factors), Limits()
    blocks = limits.blocks(plain.user_distances(), np.linalg.norm(plain.P, axis=1))
    items = limits.blocks(plain.item_distances(), np.linalg.norm(plain.Q, axis=1))
    if not (blocks <= limits.block and items <= FAR):
        return None
    old = None if before is None else _factors(before)
    return certify(
        loss.objective, weighted, factors, before=old, threads=threads or default_threads()
    )


def standing(erasing: ForeignErasing, users: Array, items: Array, allowed: float) -> Standing:
    """What ``verify`` will say of these factors, with the original and what was forgotten at hand.

    ``allowed`` is the anchored residual of class L.
    """
    foreign, loss = erasing.foreign, erasing.foreign.loss
    if not isinstance(loss, ALS):
        return Standing(
            "D",
            f"nearer to an optimum of {loss.name} by its residual, but nothing of that can be "
            "recomputed from the files except whose rows are zero",
        )
    original = foreign.users, foreign.items
    found = certified(loss, erasing.after, (users, items), original, threads=erasing.threads)
    if found is not None and found.kind in ("B", "C"):
        return Standing("B" if found.kind == "B" else "C", found.sentence)
    if erasing.deletion.removal.absent is not None:
        return NOWHERE
    dtype = foreign.users.dtype
    residual, askers, small = anchored_residual(
        loss.problem(erasing.before, dtype),
        loss.problem(erasing.after, dtype),
        original,
        (users, items),
        touched=(Shift.rows(erasing.removed.user_rows), Shift.rows(erasing.removed.indices)),
        reweighted=erasing.deletion.reweighted,
        threads=erasing.threads,
    )
    if small or (residual <= allowed and askers <= ASKERS):
        return Standing(
            "L",
            f"the deletion's effect, to within {residual:.2g} of it, on a model that was at rest "
            "for this deletion",
        )
    return NOWHERE


def _factors(pair: tuple[Array, Array]) -> Factors:
    users, items = (np.array(x, np.float64) for x in pair)
    return Factors(users, items, np.ones(users.shape[1]))
