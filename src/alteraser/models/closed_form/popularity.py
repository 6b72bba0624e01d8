"""Popularity: everybody is shown what most people had, of late or ever.

    score(v) = Σ of the confidences of v's interactions, or how many there are
    score(v) = Σ_{(u, v)} c_uv 2^(−age / half-life)
        with ``--half-life``, in days
    score(u, v) = the same over the interactions of u's segment, where --segment-column names one

It is the baseline that every recommender is to beat, and the simplest one that forgets exactly:
counts are integers, and taking one person's away gives the very counts that counting without them
gives. An age is a number of whole days (UTC), back from the newest interaction or from the day
``--as-of`` names; what is later does not count. What is kept for ages is how many interactions an
item has of each day, so that the day that is counted from moves with the data, and the sums are
formed when lists are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models.closed_form.as_of import Day, only_with
from alteraser.models.closed_form.kind import ExactKind, largest_difference
from alteraser.models.closed_form.needs import SEGMENTS, TIMES, Need
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions
    from alteraser.models.closed_form import by_day, by_item, by_segment, live
    from alteraser.models.closed_form.live import Live

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    by_day = late("alteraser.models.closed_form.by_day")
    by_item = late("alteraser.models.closed_form.by_item")
    by_segment = late("alteraser.models.closed_form.by_segment")
    live = late("alteraser.models.closed_form.live")


class Popularity(ExactKind):
    """``counts`` (n,), int64, or float64 sums of confidences where the data have some.

    With a half-life ``starts`` (n + 1,) int64, ``days`` (z,) int32 and ``counts`` (z,): item by
    item, the days on which it has any. By segment, where data say of which each interaction is:
    see ``by_segment``.
    """

    name: ClassVar[str] = "popularity"
    needs_history: ClassVar[bool] = False
    counts_segments: ClassVar[bool] = True
    summary: ClassVar[str] = "counts of the interactions of each item"

    half_life: float | None = Field(
        default=None,
        gt=0.0,
        allow_inf_nan=False,
        description="Days after which an interaction counts for half",
    )
    as_of: Day | None = Field(
        default=None,
        description="With a half-life: the day that ages are counted from, YYYY-MM-DD; else the "
        "newest",
    )

    segmented: bool = Field(
        default=False, description="Whether counted by segment: where the data say of which each is"
    )

    @model_validator(mode="after")
    def _has_ages(self) -> Popularity:
        only_with(self.as_of, self.half_life, "half_life", "a half-life")
        return self

    @model_serializer(mode="wrap")
    def _only_where_it_counts(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without segments, models are written as they were before there were some."""
        written: dict[str, Any] = standard(self)
        if not self.segmented:
            del written["segmented"]
        return written

    def needed(self) -> tuple[Need, ...]:
        """Times, for ages; segments, once it is counted by them."""
        asked = ((TIMES, self.half_life is not None), (SEGMENTS, self.segmented))
        return (*self.needs, *(need for need, given in asked if given))

    def settled(self, data: Interactions) -> Popularity:
        """By segment where ``data`` have some."""
        return self.model_copy(update={"segmented": data.segments is not None})

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """The counts."""
        if self.segmented:
            return by_segment.counted(data, aged=self._aged)
        if self.half_life is not None:
            return by_day.cells(data)
        if data.confidence is None:
            return {"counts": data.item_counts.astype(np.int64)}
        return {"counts": by_item.item_sums(data, data.confidence)}

    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """``state`` of what remains: counts less those that go; sums of confidences of what loses
        one, anew.

        IntegrityError where what goes has other times, or segments, than it had in training.
        """
        if self.segmented:
            return by_segment.without(state, deletion, aged=self._aged)
        if self.half_life is not None:
            remaining = deletion.removal.remaining
            if not by_day.one_unit(deletion.data, deletion.removed, remaining):
                return by_day.cells(remaining)
            found = by_day.without(state, deletion.removed, remaining)
            if found is None:
                raise IntegrityError(
                    "interactions that go are of other days than in training: the times are not "
                    "those of the data that the model was trained on"
                )
            return found
        if deletion.data.confidence is None:
            return {"counts": state["counts"] - deletion.removed.item_counts}
        counts = state["counts"].copy()
        lost = np.flatnonzero(deletion.removed.item_counts)
        counts[lost] = self.state(deletion.removal.remaining)["counts"][lost]
        return {"counts": counts}

    def live(self, state: Mapping[str, Array], data: Interactions) -> Live | None:
        """Counts, of interactions without confidences and segments."""
        if self.segmented or data.confidence is not None:
            return None
        if self.half_life is not None:
            return by_day.LiveDays(state, data)
        return live.LiveCounts(state["counts"], int((data.user_counts > 0).sum()))

    def scrubbed(
        self,
        state: Mapping[str, Array],
        after: Mapping[str, Array],
        deletion: Deletion,
    ) -> dict[str, int]:
        """Counts of an item's day that something is taken from."""
        return (
            {}
            if self.half_life is None
            else {"days": int(by_day.cells(deletion.removed)["days"].size)}
        )

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """The largest difference from counts by NumPy over the largest count; ∞ where other days
        have any.
        """
        if self.segmented:
            return by_segment.apart(state, data, aged=self._aged)
        weights = data.confidence
        if self.half_life is None:
            return largest_difference(
                state, {"counts": np.bincount(data.indices, weights, data.shape[1])}
            )
        return by_day.apart(state, data)

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """The score of every item, (n,); by segment the state."""
        return state if self.segmented else self._of_items(state)

    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64; −∞ for an item that nobody (of the segment) has."""
        if self.segmented:
            return by_segment.scores(state, rows, self.half_life, self._today)
        return np.tile(np.where(state > 0, state, -np.inf), (len(rows), 1))

    def scores_of_segments(self, state: Mapping[str, Array], names: Sequence[str]) -> Array:
        """(len(names), n) float64, what each segment had; NotFound for one that is not there."""
        if not self.segmented:
            return super().scores_of_segments(state, names)
        return by_segment.scores_of(state, names, self.half_life, self._today)

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """The scores, (n, 1)."""
        from scipy.sparse import csr_array

        return csr_array(self._of_items(state)[:, None])

    @property
    def _aged(self) -> bool:
        return self.half_life is not None

    @property
    def _today(self) -> int | None:
        return None if self.as_of is None else by_day.day_of(self.as_of)

    def _of_items(self, state: Mapping[str, Array]) -> Array:
        if self.segmented:
            return by_segment.totals(state, self.half_life, self._today)
        if self.half_life is None:
            return state["counts"].astype(np.float64)
        return by_day.decayed(state, self.half_life, self._today)

    def shapes(self, items: int) -> dict[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        if self.segmented:
            return by_segment.shapes(items, self._aged)
        if self.half_life is None:
            return {"counts": ((items,), ("int64", "float64"))}
        return {
            "starts": ((items + 1,), ("int64",)),
            "days": ((None,), ("int32",)),
            "counts": ((None,), ("int64", "float64")),
        }

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """InvalidInput where arrays do not belong together."""
        if self.segmented:
            by_segment.check(state, shape, aged=self._aged)
        elif self.half_life is not None:
            starts = state["starts"]
            if not (
                starts[0] == 0 and starts[-1] == state["days"].size == state["counts"].size
            ) or np.any(np.diff(starts) < 0):
                raise InvalidInput("starts and days are no counts by day")

    def compacted(self, state: Mapping[str, Array], users: Array) -> Mapping[str, Array]:
        """By segment, of whom there is something the segments of ``users`` alone."""
        return {**state, "of_user": state["of_user"][users]} if self.segmented else state

    def told(self, state: Mapping[str, Array]) -> dict[str, float]:
        """How many segments there are, where it counts by them."""
        return {"segments": state["starts"].size - 1} if self.segmented else {}
