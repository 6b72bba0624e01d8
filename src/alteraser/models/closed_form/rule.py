"""What a recommender that forgets exactly is: settings, and the functions that make arrays of
data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from alteraser.errors import InvalidInput
from alteraser.models.closed_form.needs import BASKETS, Need
from alteraser.runtime.late import late
from alteraser.settings import Configured

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.events import Events
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.closed_form.live import Live

    Array = npt.NDArray[Any]
else:
    np = late("numpy")


ROUNDED = 1e-9
"""Largest relative difference that sums of confidences in another order may have; counts have
none."""


LARGEST = 1e100
"""Confidences that are taken"""

Protocol = Literal["held out", "sessions", "baskets"]


class Rule(Configured, ABC):
    """Settings of a recommender that is counts or a closed form of its data.

    Its *state* is arrays by name, and forgetting is a function of state and data with

        without(state(D_a), deletion) = state(D_r)
            in every bit, or to rounding where it is algebra,

    the empty rows of people and items who are gone included, which are as if they had always been
    empty.

    The fields are the options of ``alteraser train``: the name of each, its description, default
    and bounds. So a module that defines a kind imports what computes late
    (``alteraser.runtime.late``).
    """

    name: ClassVar[str]
    """Its name on the command line"""
    needs_history: ClassVar[bool]
    reads_others: ClassVar[bool] = False
    """Whether somebody's list is made from other people's histories as well, not from their own and
    the state alone"""
    """Whether a list is made from the interactions of whom it is for, which the state does not
    have"""
    protocol: ClassVar[Protocol] = "held out"
    """How it is measured: on interactions that were held out, event by event in sessions, or on the
    next basket"""
    repeats: ClassVar[bool] = False
    """Whether a list may hold what its user had: what comes next may be something that was there
    before"""
    summary: ClassVar[str]
    """What the state is, in a few words"""
    again: ClassVar[str] = "by other code"
    """How ``apart`` looks at a state, after "what the remaining data give" """
    doing: ClassVar[str] = "counting"
    """What makes a state, in a word"""
    extra: ClassVar[str | None] = None
    """The extra of this package without which there is no state; None: none is needed"""
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Values of settings that ``tune`` tries where no others are given"""
    counts_segments: ClassVar[bool] = False
    """Whether it counts by segment where a column says of which each interaction is"""
    needs: ClassVar[tuple[Need, ...]] = ()
    """What its data must have beside who and what, whatever the settings"""

    @abstractmethod
    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """The arrays that ``data`` give; ``threads`` workers, 0 for every processor."""

    @abstractmethod
    def without(
        self,
        state: Mapping[str, Array],
        deletion: Deletion,
        *,
        threads: int = 0,
    ) -> dict[str, Array]:
        """The state of D_r from that of D_a; ``state`` is not changed."""

    @abstractmethod
    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """How far ``state`` is from that of ``data``, by code that shares nothing with ``state``: 0
        for the same bytes.

        ∞ where it is another state altogether.
        """

    def spot_checks(self, data: Interactions) -> int:
        """How many items ``verify`` looks at, by ``apart_in``, where all of them would take too
        long; 0: all.
        """
        return 0

    def apart_in(self, state: Mapping[str, Array], data: Interactions, rows: Array) -> float:
        """``apart`` of the items ``rows`` alone, and of what is quick to see of all."""
        raise NotImplementedError

    def needed(self) -> tuple[Need, ...]:
        """What the data must have beside who and what: ``needs``, and what these settings ask
        for.
        """
        return self.needs

    def check_reading(self, reading: ReadingOptions) -> None:
        """InvalidInput, naming the option, where data read so will lack what is needed."""
        for need in self.needed():
            if not need.is_read(reading):
                raise InvalidInput(need.missing(self.name, command_line=True))
        if reading.grouping is not None and not self.of_events():
            raise InvalidInput(of_pairs(f"--model {self.name}", reading.grouping.name))
        if reading.segment_column is not None and not self.counts_segments:
            raise InvalidInput(counted_by_segment(self.name))

    def reading_of(self, reading: ReadingOptions) -> ReadingOptions:
        """``reading`` as the kind takes it: what has no order to it is read without one, whatever
        was named.

        Else the order of a file's rows would be part of what the model is known to be trained on.
        """
        return reading.in_baskets() if BASKETS in self.needs else reading

    def check_data(self, data: Interactions) -> None:
        """InvalidInput where ``data`` lack what is needed."""
        for need in self.needed():
            if not need.is_in(data):
                raise InvalidInput(need.missing(self.name, command_line=False))
        if data.events is not None and not self.of_events():
            raise InvalidInput(of_pairs(self.name, data.events.grouping.name))
        largest = 0.0 if data.confidence is None else float(data.confidence.max(initial=0.0))
        if largest > LARGEST:
            raise InvalidInput(
                f"a confidence of {largest:g} is more than {LARGEST:g}, beyond which sums of "
                f"squares are no numbers any more: {self.name} cannot be made of it"
            )

    @classmethod
    def of_events(cls) -> bool:
        """Whether it is of events in sessions or baskets, not of pairs."""
        return any(need.attribute == "events" for need in cls.needs)

    def scrubbed(
        self,
        state: Mapping[str, Array],
        after: Mapping[str, Array],
        deletion: Deletion,
    ) -> dict[str, int]:
        """What ``without`` took out of ``state`` beside ids and frequencies: fields of
        ``Scrubbed``.
        """
        return {}

    def live(self, state: Mapping[str, Array], data: Interactions) -> Live | None:
        """``state`` in a form that changes person by person; None: it is made anew when it is asked
        for.
        """
        return None

    def part(self, events: Events) -> Any:
        """Of a kind of events: what the state holds of one user who has these; None where it holds
        no such part.
        """
        return None

    def pending(self, state: dict[str, Array]) -> Any:
        """Of a kind whose state is no parts of users: what is changed by what they had and have;
        None where it is.
        """
        return None

    def merged(
        self, state: Mapping[str, Array], parts: Mapping[int, Any], shape: tuple[int, int]
    ) -> dict[str, Array] | None:
        """``state`` with the parts of some users (by row) exchanged; None where it is not made of
        parts.
        """
        return None

    def otherwise(self) -> str:
        """What else than an interaction that was kept a state that is ``apart`` may come from;
        nothing.
        """
        return ""

    def limit(self, data: Interactions) -> float:
        """What ``apart`` may be: 0 for counts, rounding where confidences are added up in another
        order.
        """
        return 0.0 if data.confidence is None else ROUNDED

    def formed(self, state: Mapping[str, Array], history: Interactions | None) -> Any:
        """What ``scores`` take for ``state``: what has to be made of it once before lists are made;
        itself.
        """
        return state

    def continued(self, state: Any, session: Array, owner: int = -1) -> Array:
        """What may come next after ``session``: of kinds that are of sessions, see
        ``SessionKind``.
        """
        raise InvalidInput(f"a model of kind {self.name} continues no session")

    def continued_all(
        self, state: Any, sessions: list[Array], found: Array, rows: list[int]
    ) -> None:
        """``continued`` of many: of kinds that are of sessions, see ``SessionKind``."""
        raise InvalidInput(f"a model of kind {self.name} continues no session")

    @abstractmethod
    def scores(self, state: Any, rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64, of all items for the users in ``rows``; −∞ for an item that is
        not to be listed.

        ``state`` is what ``formed`` made of it.
        """

    def scores_of_segments(self, state: Mapping[str, Array], names: Sequence[str]) -> Array:
        """(len(names), n) float64, of all items for whoever is of a segment; InvalidInput where
        nothing is counted by segment, NotFound for a name that is none.
        """
        raise InvalidInput(
            f"this model of kind {self.name} is not counted by segment: train popularity with "
            "--segment-column"
        )

    @abstractmethod
    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes it may have)} of the state of a model with so many item rows; None:
        any number.
        """

    def check_state(self, state: Mapping[str, Array], shape: tuple[int, int]) -> None:
        """ValueError (InvalidInput) for arrays that do not belong together; ``shape``: rows of
        users and items.
        """

    def compacted(self, state: Mapping[str, Array], users: Array) -> Mapping[str, Array]:
        """``state`` when only the rows ``users`` (increasing) are left of users, numbered anew; as
        it is where it is of items alone.
        """
        return state

    def settled(self, data: Interactions) -> Self:
        """These settings with what ``data``, or the machine, decide of them; ResourceLimit before
        any work.
        """
        return self

    def notes(self, data: Interactions) -> list[str]:
        """What somebody should know who trains it on ``data``."""
        return []

    def told(self, state: Mapping[str, Array]) -> dict[str, float]:
        """What else there is to say of a state, by name: for ``inspect`` and the report of
        ``forget``.
        """
        return {}

    @abstractmethod
    def matrix(self, state: Mapping[str, Array]) -> Any:
        """What the state says of items, as an array (n, 1) or (n, n), for the distance of two
        models.
        """

    def among(self, matrix: Any, rows: Array) -> Any:
        """``matrix`` of some items alone."""
        chosen = matrix[rows]
        return chosen if matrix.shape[1] == 1 else chosen[:, rows]


def of_pairs(model: str, groups: str) -> str:
    """What is wrong with events for a model of pairs."""
    return (
        f"{model} is of pairs of user and item, and has no {groups}s: leave --{groups}-column and "
        "--session-gap out; --duplicates says what becomes of pairs that are there again"
    )


def check_plain(reading: ReadingOptions, kind: str) -> None:
    """InvalidInput where ``reading`` groups rows or names segments, for a ``kind`` of plain
    pairs.
    """
    if reading.grouping is not None:
        raise InvalidInput(of_pairs(f"--model {kind}", reading.grouping.name))
    if reading.segment_column is not None:
        raise InvalidInput(counted_by_segment(kind))


def counted_by_segment(kind: str) -> str:
    """What is wrong with segments for a model that does not count by them."""
    return (
        f"--segment-column is for --model popularity, which is counted by segment; {kind} has no "
        "use for it: leave it out"
    )


def largest_difference(state: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """The largest difference of two entries over the largest wanted one, over all arrays; ∞ for
    other shapes.
    """
    found = 0.0
    for name, target in wanted.items():
        have = state[name]
        if have.shape != target.shape:
            return np.inf
        found = max(
            found,
            relative(
                float(np.abs(have - target).max(initial=0)), float(np.abs(target).max(initial=0))
            ),
        )
    return found


def fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Whether an array has the shape that is ``wanted``, None being any length.

    >>> fits((3, 7), (3, None)), fits((3,), (3, None))
    (True, False)
    """
    return len(shape) == len(wanted) and all(
        want in (None, has) for has, want in zip(shape, wanted, strict=True)
    )


def same_arrays(state: Mapping[str, Array], wanted: Mapping[str, Array]) -> float:
    """0 where all arrays are the same, ∞ where one is not: of states of integers that count
    nothing.
    """
    return (
        0.0
        if all(np.array_equal(state[name], target) for name, target in wanted.items())
        else np.inf
    )


def relative(part: float, whole: float) -> float:
    """Part / whole; 0/0 is 0.

    >>> relative(1.0, 4.0), relative(0.0, 0.0), relative(1.0, 0.0)
    (0.25, 0.0, inf)
    """
    return part / whole if whole else (0.0 if part == 0 else np.inf)
