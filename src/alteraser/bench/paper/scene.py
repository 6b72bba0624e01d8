"""One run's data: the split, what must be forgotten, and the cut that early stopping looks at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser.data.interactions import Interactions
from alteraser.data.sets.scenario import delete_true, inject_noise
from alteraser.errors import InvalidInput

Array = npt.NDArray[Any]
Stopping = Literal["validation", "test"]

SCENARIOS = "noise, true, one, or users-P% (half of the interactions of P % of the users)"


@dataclass(frozen=True)
class Scene:
    """D_a, D_r, D_f and the held-out parts of one run."""

    scenario: str
    stopping: Stopping
    run: int
    before: Interactions
    """D_a"""
    after: Interactions
    """D_r"""
    forgotten: Interactions
    """D_f"""
    watched: Interactions
    """What early stopping is scored on: a validation cut of the training part, or the test part
    itself."""
    test: Interactions
    users: Array
    """Rows of the forgetting users."""

    @property
    def others(self) -> Array:
        """Rows of the other users who have training interactions."""
        rows = np.flatnonzero(self.after.user_counts > 0)
        return rows[~np.isin(rows, self.users)]


def share_of_users(scenario: str) -> float | None:
    """P / 100 of a scenario ``users-P%`` with 0 < P ≤ 100, else None."""
    found = re.fullmatch(r"users-(\d+(?:\.\d+)?)%", scenario)
    share = float(found[1]) / 100 if found else 0.0
    return share if 0 < share <= 1 else None


def build_scene(
    data: Interactions, scenario: str, stopping: Stopping, run: int, *, users: int = 64
) -> Scene:
    """The scene of run ``run``: per-user 80/20 split, then D_f, all drawn from the run's seed
    (paper §5.1).

    With ``stopping="validation"`` a tenth of every user's training part is cut off for early
    stopping; the paper names no such cut, so ``"test"`` stops on the test part, which is optimistic
    and labelled.
    """
    train, test = data.split(0.2, seed=run)
    watched = test
    if stopping == "validation":
        train, watched = train.split(0.1, seed=1000 + run)
    users = min(users, int((train.user_counts >= 2).sum()))
    share = share_of_users(scenario)
    if scenario == "noise":
        made = inject_noise(train, users=users, seed=run, avoid=data)
        return Scene(
            scenario,
            stopping,
            run,
            made.polluted,
            made.clean,
            made.noise,
            watched,
            test,
            made.users,
        )
    if scenario == "true":
        deleted = delete_true(train, users=users, seed=run)
    elif scenario == "one":
        deleted = delete_true(train, users=1, share=0.0, seed=run)
    elif share is not None:
        wanted = max(1, round(share * int((train.user_counts >= 2).sum())))
        deleted = delete_true(train, users=wanted, seed=run)
    else:
        raise InvalidInput(f"unknown scenario {scenario!r}; there are {SCENARIOS}")
    return Scene(
        scenario,
        stopping,
        run,
        train,
        deleted.remaining,
        deleted.deleted,
        watched,
        test,
        deleted.users,
    )
