"""What a foreign file does not say and its user has to: typed, validated, one place for all
formats.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict, Field, field_validator, model_validator

from alteraser.data.readers import ReadingOptions
from alteraser.settings import Configured


class ForeignOptions(Configured):
    """Id maps, how the data are read, and the hyper-parameters that the container lacks.

    An option that says something else than the container is an InvalidInput of the adapter: see
    ``Foreign.settled``.

    >>> ForeignOptions(rating="1 + 40 * plays").rating
    '1 + 40 * plays'
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    users_map: Path | None = None
    """Which user each row is: a table with ``row`` and an id column or ids alone in row order,
    JSON, or what else the adapter knows as a source (a data set dump)."""

    items_map: Path | None = None
    """The same for items."""

    rows_are_ids: bool = False
    """The ids in the data are the rows: integers from 0. Nothing is assumed without it."""

    rating: str | None = None
    """r, the entry of the matrix that the library was given: a column, or a rule such as ``"1 +
    40 * column"``, ``"log1p(column)"`` or ``"bm25(column)"`` (``readers._rules``). None: 1 for
    every row of the data. What c and y follow from r is the loss's business."""

    reading: ReadingOptions = ReadingOptions()
    """Columns, threshold and duplicates of the data. ``sum`` adds r; its confidence and target are
    not used."""

    loss: str | None = None
    """Which loss was minimized, for containers that hold nothing but factors."""

    alpha: float | None = Field(default=None, allow_inf_nan=False)
    """α of c, where the container does not say."""

    regularization: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """λ, where the container does not say."""

    missing_weight: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    """w₀, for containers that hold nothing but factors."""

    implicit: bool | None = None
    """Implicit or explicit feedback, where the container does not say."""

    allow_pickle: bool = False
    """Read a pickle, by a reader that runs nothing of it."""

    @field_validator("rating")
    @classmethod
    def _rule(cls, text: str | None) -> str | None:
        from alteraser.data.readers import rating_rule

        if text is not None:
            rating_rule(text)
        return text

    @model_validator(mode="after")
    def _check(self) -> ForeignOptions:
        from alteraser.data.readers import rating_rule

        if (
            self.rating is not None
            and rating_rule(self.rating).sums
            and self.reading.duplicates in ("first", "last")
        ):
            raise ValueError(
                f"--rating {self.rating!r} adds up the rows of a pair, which contradicts "
                f"--duplicates {self.reading.duplicates}: leave that out"
            )
        if self.rows_are_ids and (self.users_map is not None or self.items_map is not None):
            raise ValueError(
                "--rows-are-ids contradicts --users-map and --items-map: give one or the other"
            )
        return self
