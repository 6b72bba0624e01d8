"""What to read from a table of interactions: typed, validated, serialisable."""

from __future__ import annotations

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_RULE = re.compile(rf"\s*({_NUMBER})\s*\+\s*({_NUMBER})\s*\*\s*(\S(?:.*\S)?)\s*")

Name = Annotated[str, Field(min_length=1)]


class Affine(NamedTuple):
    """A confidence rule: ``intercept + slope * column``."""

    intercept: float
    slope: float
    column: str


class ReadingOptions(BaseModel):
    """Which columns are read, and how. A ``rating`` column is ignored unless a field here asks for it.

    >>> options = ReadingOptions(threshold=4, confidence="1 + 40 * rating")
    >>> options.columns
    ('user_id', 'item_id', 'rating')
    >>> ReadingOptions.model_validate_json(options.model_dump_json()) == options
    True
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    user_column: Name = "user_id"
    """The column that says who; integers or strings."""

    item_column: Name = "item_id"
    """The column that says what; integers or strings."""

    threshold: float | None = None
    """Rows whose ``threshold_column`` is below it are dropped. None keeps every row and reads no rating."""

    threshold_column: Name = "rating"
    """The column that ``threshold`` looks at; not read without a threshold."""

    confidence: str | None = None
    """The weight c of each interaction: a column, or a rule ``"A + B * column"`` with two numbers."""

    target: Name | None = None
    """The column with the target y of each interaction. None means 1 everywhere."""

    timestamp_column: Name | None = None
    """The column that says when; kept as it is, or as epoch seconds where it is a date or a time."""

    duplicates: Literal["refuse", "first", "last", "sum"] = "refuse"
    """What becomes of an interaction that is there twice. Carried along for whoever builds the rows; the
    reader keeps all of them. ``sum`` adds the confidences."""

    @model_validator(mode="after")
    def _check(self) -> ReadingOptions:
        if self.user_column == self.item_column:
            raise ValueError(f"user_column and item_column are both {self.user_column!r}. Name two different columns.")
        if self.confidence is not None:
            confidence_rule(self.confidence)
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that reading with these options needs, each once."""
        names = [self.user_column, self.item_column]
        if self.threshold is not None:
            names.append(self.threshold_column)
        if self.confidence is not None:
            names.append(confidence_rule(self.confidence).column)
        names += [name for name in (self.target, self.timestamp_column) if name is not None]
        return tuple(dict.fromkeys(names))


def confidence_rule(text: str) -> Affine:
    """Read ``"count"`` or ``"1 + 40 * rating"``.

    >>> confidence_rule("1 + 40 * rating")
    Affine(intercept=1.0, slope=40.0, column='rating')
    >>> confidence_rule("count")
    Affine(intercept=0.0, slope=1.0, column='count')
    """
    if match := _RULE.fullmatch(text):
        return Affine(float(match[1]), float(match[2]), match[3])
    if not text.strip() or re.search(r"[+*]", text):
        raise ValueError(
            f"confidence {text!r} is neither a column nor a rule 'A + B * column' with two numbers A and B. "
            "Write for example 'count' or '1 + 40 * rating'."
        )
    return Affine(0.0, 1.0, text)
