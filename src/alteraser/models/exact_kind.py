"""What a recommender that forgets exactly is: settings, and the functions that make arrays of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from alteraser.interactions import Interactions, Removal
from alteraser.settings import Configured

if TYPE_CHECKING:
    from alteraser.exact import ExactModel
    from alteraser.readers import ReadingOptions

Array = npt.NDArray[Any]


class ExactKind(Configured, ABC):
    """Settings of a recommender that is counts or a closed form of its data.

    Its *state* is arrays by name, and forgetting is a function of state and data with

        without(state(D_a), D_a, removal) = state(D_r)      in every bit,

    the empty rows of people and items who are gone included. ``state`` and ``plain`` are two ways to the same numbers.
    """

    name: ClassVar[str]
    """Its name on the command line"""
    needs_history: ClassVar[bool]
    """Whether a list is made from the interactions of whom it is for, which the state does not have"""
    summary: ClassVar[str]
    """What the state is, in a few words"""

    @abstractmethod
    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """The arrays that ``data`` give; ``threads`` workers, 0 for every processor."""

    @abstractmethod
    def without(
        self, state: Mapping[str, Array], before: Interactions, removal: Removal, *, threads: int = 0
    ) -> dict[str, Array]:
        """The state of ``removal.remaining``, from that of ``before``; ``state`` is not changed."""

    @abstractmethod
    def plain(self, data: Interactions) -> dict[str, Array]:
        """The state once more, by code that shares nothing with ``state``: equal for counts, else to rounding."""

    @abstractmethod
    def scores(self, state: Mapping[str, Array], rows: Array, history: Interactions | None) -> Array:
        """(len(rows), n) float64, of all items for the users in ``rows``; −∞ for an item that is not to be listed."""

    @abstractmethod
    def shapes(self, items: int) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes it may have)} of the state of a model with so many item rows."""

    @abstractmethod
    def matrix(self, state: Mapping[str, Array]) -> Any:
        """What the state says of items, as a sparse array (n, 1) or (n, n), for the distance of two models."""

    def apart(self, state: Mapping[str, Array], plain: Mapping[str, Array]) -> float:
        """How far ``state`` is from ``plain`` of the same data, relative: 0 for the same bytes, ∞ for other lists.

        Here the largest difference of two entries over the largest entry, over all arrays.
        """
        found = 0.0
        for name, wanted in plain.items():
            have = state[name]
            if have.shape != wanted.shape:
                return np.inf
            size = float(np.abs(wanted).max(initial=0))
            found = max(found, relative(float(np.abs(have - wanted).max(initial=0)), size))
        return found

    def fit(self, data: Interactions, *, reading: ReadingOptions | None = None, threads: int = 0) -> ExactModel:
        """The model of ``data``; ``reading`` is kept in it so that later commands read data the same way.

        Raises InvalidInput if there are no interactions, or if they have targets.
        """
        from alteraser.exact import fit

        return fit(self, data, reading=reading, threads=threads)


def relative(part: float, whole: float) -> float:
    """Part / whole; 0/0 is 0.

    >>> relative(1.0, 4.0), relative(0.0, 0.0), relative(1.0, 0.0)
    (0.25, 0.0, inf)
    """
    return part / whole if whole else (0.0 if part == 0 else np.inf)
