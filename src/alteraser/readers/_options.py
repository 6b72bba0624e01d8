"""What to read from a table of interactions: typed, validated, serialisable."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from alteraser.readers._rules import STATISTICS, Function, Rule, rule
from alteraser.settings import Configured

Name = Annotated[str, Field(min_length=1)]


class ReadingOptions(Configured):
    """Which columns are read, and how. A ``rating`` column is ignored unless a field here asks for it.

    >>> options = ReadingOptions(threshold=4, confidence="1 + 40 * rating")
    >>> options.columns
    ('user_id', 'item_id', 'rating')
    >>> ReadingOptions.model_validate_json(options.model_dump_json()) == options
    True
    """

    model_config = ConfigDict(allow_inf_nan=False, use_attribute_docstrings=True)

    user_column: Name = "user_id"
    """The column that says who; integers or strings."""

    item_column: Name = "item_id"
    """The column that says what; integers or strings."""

    threshold: float | None = None
    """Rows whose ``threshold_column`` is below it are dropped. None keeps every row and reads no rating."""

    threshold_column: Name = "rating"
    """The column that ``threshold`` looks at; not read without a threshold."""

    confidence: str | None = None
    """The weight c of each interaction: a column, or a rule such as ``"1 + 40 * column"`` or ``"1 + log1p(column)"``;
    see ``_rules``."""

    target: Name | None = None
    """The column with the target y of each interaction. None means 1 everywhere."""

    timestamp_column: Name | None = None
    """The column that says when: whole numbers as they are; dates, times and ISO 8601 text as epoch seconds (UTC)."""

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
            names.append(column_of(self.confidence))
        names += [name for name in (self.target, self.timestamp_column) if name is not None]
        return tuple(dict.fromkeys(names))


def column_of(text: str) -> str:
    """The column that a rule for confidences names."""
    found = confidence_rule(text).column
    assert found is not None  # only statistics go without one
    return found


def confidence_rule(text: str) -> Rule:
    """Read ``"count"``, ``"1 + 40 * rating"`` or ``"1 + log1p(count)"``: see ``_rules``, of which confidences take the
    functions of one number. Raises ValueError for anything else.

    >>> confidence_rule("1 + 40 * rating")
    Rule(column='rating', constant=1.0, steps=(Affine(intercept=1.0, slope=40.0),))
    >>> confidence_rule("bm25(count)")
    Traceback (most recent call last):
    ValueError: confidence 'bm25(count)' is a statistic of all data (bm25), which is for models of other libraries ...
    """
    found = rule(text, "confidence")
    for step in found.steps:
        if isinstance(step, Function) and step.name in STATISTICS:
            raise ValueError(
                f"confidence {text!r} is a statistic of all data ({step.name}), which is for models of other libraries "
                "and their --rating. Use a column, or functions of one number such as log1p"
            )
    return found


def rating_rule(text: str) -> Rule:
    """Read a rule for r, the entries of a matrix: all of ``_rules``. Raises ValueError.

    >>> rating_rule("bm25(plays, 1.2, 0.75)").steps
    (Function(name='bm25', arguments=(1.2, 0.75)),)
    """
    return rule(text, "rating")
