"""What is the same of every kind that continues sessions."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from alteraser.models.closed_form.kind import ExactKind, Protocol
from alteraser.models.closed_form.needs import SESSIONS, Need
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.interactions import Interactions
    from alteraser.models.sessions import histories

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    histories = late("alteraser.models.sessions.histories")


class SessionKind(ExactKind):
    """A kind whose list continues the last session of a user, or any other one."""

    needs_history: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    protocol: ClassVar[Protocol] = "sessions"
    needs: ClassVar[tuple[Need, ...]] = (SESSIONS,)

    @abstractmethod
    def continued(self, state: Any, session: Array, owner: int = -1) -> Array:
        """(n,) float64: what may come next after ``session`` (l,), item rows; −∞ for an item that
        is not to be listed.

        ``state`` is what ``formed`` made of it; ``owner`` is the row of whose session it is, where
        the model knows them (−1: nobody it knows), so that a session is not taken for what comes
        after itself.
        """

    def continued_all(
        self, state: Any, sessions: list[Array], found: Array, rows: list[int]
    ) -> None:
        """``continued`` of each of ``sessions``, of nobody the model knows, into these rows of
        ``found``.
        """
        for row, session in zip(rows, sessions, strict=True):
            found[row] = self.continued(state, session)

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64: what may come next in each user's last session; −∞ for who has
        none.
        """
        assert history is not None  # see needs_history
        events = histories.events_of(history, self.name)
        found = np.full((len(rows), history.shape[1]), -np.inf)
        for place, (row, group) in enumerate(
            zip(rows, histories.last_groups(events, rows), strict=True)
        ):
            if group >= 0:
                session = events.items[events.indptr[group] : events.indptr[group + 1]]
                found[place] = self.continued(state, session, int(row))
        return found
