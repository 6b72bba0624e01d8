"""What is the same of every network: how it is trained, how it forgets, and how that is looked at.

Training is a function of the data, the settings and the seed, and of nothing else (``order``,
``training``). So a network forgets exactly by the one way that there is for all of them: it is
trained again, from the same numbers, on what remains. What comes out is, byte for byte on the same
machine, what it would be had the rest been all there ever was; ``verify`` trains once more and
compares. On another processor, or under another version of torch, sums are added in another order:
then the last digits differ, and in float64 that is told from an event that was kept (``limit``).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from alteraser.models.closed_form.kind import ExactKind
from alteraser.models.closed_form.rule import largest_difference
from alteraser.runtime.extras import require
from alteraser.runtime.late import late

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from alteraser.data.deletion import Deletion
    from alteraser.data.interactions import Interactions
    from alteraser.data.readers import ReadingOptions
    from alteraser.models.networks import encoders, order, training

    Array = npt.NDArray[Any]
else:
    np = late("numpy")
    training = late("alteraser.models.networks.training")

WITHIN = {"float32": 0.0, "float64": 1e-9}
"""What training once more may differ by, of the largest entry of each array: see
``NetworkKind.limit``"""
ITEMS = "items"
"""The array of items' rows"""


class NetworkKind(ExactKind):
    """Tables of rows, zeros for those without an interaction, and a network's parameters by
    name.
    """

    extra: ClassVar[str | None] = "torch"
    again: ClassVar[str] = "by the same training once more"
    doing: ClassVar[str] = "training"

    factors: int = Field(default=64, ge=1, le=4096, description="Length of a row")
    epochs: int = Field(default=10, ge=0, description="Passes over all of the data")
    batch: int = Field(
        default=32,
        ge=1,
        description="Windows of a session per step: at least so many, on average",
    )
    learning_rate: float = Field(
        default=0.005, gt=0.0, le=1e6, description="Adam's, at the start; it falls to 0"
    )
    regularization: float = Field(
        default=0.0, ge=0.0, allow_inf_nan=False, description="How fast weights decay (AdamW)"
    )
    dtype: Literal["float32", "float64"] = Field(
        default="float32", description="What it is trained and held in"
    )
    seed: int = Field(default=0, ge=0, description="Of the start and of the order of training")

    @abstractmethod
    def task(self, data: Interactions) -> training.TrainingTask:
        """What is minimized on ``data``."""

    @abstractmethod
    def tables(self, task: Any) -> Mapping[str, order.Present]:
        """The tables of ``task`` by name, and which rows of the data theirs are."""

    @abstractmethod
    def parameters(self) -> encoders.Shapes:
        """All others by name."""

    def course(self) -> training.Course:
        """How it is trained."""
        return training.Course(
            self.factors,
            self.epochs,
            self.batch,
            self.learning_rate,
            self.regularization,
            self.seed,
            self.dtype,
        )

    def check_reading(self, reading: ReadingOptions) -> None:
        """See ``Rule.check_reading``; DependencyMissing where torch is not installed."""
        super().check_reading(reading)
        self._require()

    def _require(self) -> None:
        require("torch", "torch", f"a model of kind {self.name}")

    def state(self, data: Interactions, *, threads: int = 0) -> dict[str, Array]:
        """The trained network; DependencyMissing, NumericFailure. One thread, whatever ``threads``
        says.
        """
        self._require()
        task = self.task(data)
        return self.kept(training.trained(task), task)

    def kept(self, weights: Mapping[str, Any], task: training.TrainingTask) -> dict[str, Array]:
        """The state of ``weights``: their tables with all rows of the data."""
        found = {name: value.numpy() for name, value in weights.items()}
        for name, present in self.tables(task).items():
            table = np.zeros((present.size, self.factors), self.dtype)
            table[present.rows] = found[name]
            found[name] = table
        return found

    def without(
        self, state: Mapping[str, Array], deletion: Deletion, *, threads: int = 0
    ) -> dict[str, Array]:
        """The network trained again on what remains, from the same seed: nothing of ``state`` goes
        into it.
        """
        if not deletion.forgotten:
            return {name: array.copy() for name, array in state.items()}
        return self.state(deletion.removal.remaining, threads=threads)

    def limit(self, data: Interactions) -> float:
        """What processors and versions of torch may differ by.

        In float32 nothing, for rounding grows in training to what one event does: only the same
        ones can show anything.
        """
        return WITHIN[self.dtype]

    def otherwise(self) -> str:
        """Rounding of another machine, which float32 does not tell from an event."""
        return (
            ""
            if WITHIN[self.dtype]
            else "; in float32 that is so, too, of a model that was trained on another kind of "
            "processor or version of torch: verify it there, or train with --dtype float64"
        )

    def apart(self, state: Mapping[str, Array], data: Interactions) -> float:
        """How far ``state`` is from that of training once more, array by array, of the largest
        entry.
        """
        return largest_difference(state, self.state(data))

    def matrix(self, state: Mapping[str, Array]) -> Any:
        """The items' rows."""
        return state[ITEMS].astype(np.float64)

    def among(self, matrix: Any, rows: Array) -> Any:
        """Those of some items."""
        return matrix[rows]

    def shapes(self, items: int) -> Mapping[str, tuple[tuple[int | None, ...], tuple[str, ...]]]:
        """{name: (shape, dtypes)} of the state of a model with so many item rows."""
        self._require()
        own = {name: shape for name, (shape, _) in self.parameters().items()}
        return {name: (shape, (self.dtype,)) for name, shape in own.items()} | {
            ITEMS: ((items, self.factors), (self.dtype,))
        }
