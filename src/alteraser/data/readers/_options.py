"""What to read from a table of interactions: typed, validated, serialisable."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from alteraser.data.grouping import BASKET, SESSION, Grouping, gap_of
from alteraser.data.readers._hints import Hints
from alteraser.data.readers._rules import NUMERIC, STATISTICS, ColumnRule, Function, rule
from alteraser.settings import Configured

Name = Annotated[str, Field(min_length=1)]

_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}
_NO_SEPARATOR = re.compile(r'[\w"\r\n.#%-]')


Layout = Literal["netflix", "adjacency"]

GROUPED_BY = ("session_column", "session_gap", "basket_column")
"""Fields one of which makes rows events"""


class ReadingOptions(Configured):
    """Which columns are read, and how. A ``rating`` column is ignored unless a field here asks for
    it.

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
    """Rows whose ``threshold_column`` is below it are dropped. None keeps every row and reads no
    rating."""

    threshold_column: Name = "rating"
    """The column that ``threshold`` looks at; not read without a threshold."""

    confidence: str | None = None
    """The weight c of each interaction: a column, or a rule such as ``"1 + 40 * column"`` or ``"1 +
    log1p(column)"``; see ``_rules``."""

    target: Name | None = None
    """The target y of each interaction: a column or a rule, as for ``confidence``. None means 1
    everywhere."""

    timestamp_column: Name | None = None
    """The column that says when: whole numbers as they are; dates, times and ISO 8601 text as epoch
    seconds (UTC)."""

    session_column: Name | None = None
    """The column that says in which session of its user each row was: integers or strings. It may
    be the user column, where every user is one session. Rows are then events, in order, and the
    same item may come again."""

    session_gap: Name | None = None
    """Where no column says it: a time after which whatever comes is another session (or basket),
    such as ``30m``, or a number in the unit of the times; see ``data.events``."""

    basket_column: Name | None = None
    """The column that says in which basket of its user each row was; what a basket holds has no
    order."""

    baskets: bool = False
    """Whether what a ``session_gap`` cuts has no order either: baskets, not sessions."""

    position_column: Name | None = None
    """Numbers by which events of the same time, or all of them where no times are read, are
    ordered. Without it the rows of the source are in order."""

    segment_column: Name | None = None
    """The column that says of which segment each row is (a country, a device, an age group):
    integers or strings. Popularity is then counted by segment."""

    ordered_by_time: bool = True
    """Whether times, where they are read, say the order of events: not of a model that was trained
    without."""

    column_names: tuple[str, ...] | None = None
    """The columns of text without a header, in their order; ``""`` for one that is of no interest.
    A file whose first line names an id column has a header, and says it itself."""

    separator: str | None = None
    """What is between the fields of text: one character, or one twice (``::``). None: what its
    header is cut by."""

    decimal: Literal[".", ","] = "."
    """What is before the fraction of a number that is written as text."""

    layout: Layout | None = None
    """Text whose lines are no rows. ``netflix``: an item's ``1:`` and below it lines of user,
    rating and date. ``adjacency``: a user and then all of its items, as in LightGCN's
    ``train.txt``. Tables are still read as tables."""

    duplicates: Literal["refuse", "first", "last", "sum"] = "refuse"
    """What becomes of an interaction that is there twice. Carried along for whoever builds the
    rows; the reader keeps all of them. ``sum`` adds the confidences."""

    @field_validator("column_names")
    @classmethod
    def _each_once(
        cls, names: tuple[str, ...] | None, others: ValidationInfo
    ) -> tuple[str, ...] | None:
        given = [name for name in names or () if name]
        ids = [others.data[side] for side in ("user_column", "item_column") if side in others.data]
        for name in ids if names is not None else ():
            if given.count(name) != 1:
                raise ValueError(
                    f"{','.join(given)} names {name!r} {given.count(name)} times, where every "
                    "column is named in its order, and that of the ids once"
                )
        if len(set(given)) < len(given):
            raise ValueError(f"{','.join(given)} names a column twice")
        return names

    @field_validator("layout")
    @classmethod
    def _has_names(cls, layout: str | None, others: ValidationInfo) -> str | None:
        if layout is not None and others.data.get("column_names") is not None:
            raise ValueError(f"the layout {layout} has columns of its own: leave their names out")
        return layout

    @field_validator("separator")
    @classmethod
    def _one_character(cls, text: str | None) -> str | None:
        text = _SEPARATORS.get(text, text) if text is not None else None
        if text is None or (
            len(set(text)) == 1
            and len(text) <= 2
            and text.isascii()
            and not _NO_SEPARATOR.search(text)
        ):
            return text
        raise ValueError(
            f"{text!r} is not one character, or one twice as in ::, that may be between fields. "
            "Write for example ';', '|', tab or space"
        )

    @field_validator("session_gap")
    @classmethod
    def _is_a_time(cls, text: str | None) -> str | None:
        if text is not None:
            gap_of(text)
        return text

    @model_validator(mode="after")
    def _check(self) -> ReadingOptions:
        if self.user_column == self.item_column:
            raise ValueError(
                f"user_column and item_column are both {self.user_column!r}. Name two different "
                "columns."
            )
        self._check_groups()
        if self.confidence is not None:
            confidence_rule(self.confidence)
        if self.target is not None:
            target_rule(self.target)
        return self

    def _check_groups(self) -> None:
        said = [name for name in GROUPED_BY if getattr(self, name) is not None]
        if len(said) > 1:
            raise ValueError(
                f"{said[0]} and {said[1]} both say what belongs together: leave one of them out"
            )
        if self.session_gap is not None and self.timestamp_column is None:
            raise ValueError(
                "session_gap is a time between rows: name the column of times, timestamp_column"
            )
        if self.position_column is not None and not said:
            raise ValueError(
                "position_column orders sessions or baskets: name their column, or a session_gap"
            )
        if said and self.segment_column is not None:
            raise ValueError(
                f"{said[0]} is for models of events, which are not counted by segment: leave it "
                "or segment_column out"
            )
        if said and (self.confidence is not None or self.target is not None):
            raise ValueError(
                f"{said[0]} is for models of events, which have no confidence and no target: "
                "leave it out"
            )

    @model_serializer(mode="wrap")
    def _only_what_was_said(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """How text was laid out is written down where it was said, so that records of other data
        stay as they were.
        """
        written: dict[str, Any] = standard(self)
        for name, default in (
            ("column_names", None),
            ("separator", None),
            ("decimal", "."),
            ("layout", None),
            ("session_column", None),
            ("session_gap", None),
            ("basket_column", None),
            ("baskets", False),
            ("position_column", None),
            ("segment_column", None),
            ("ordered_by_time", True),
        ):
            if getattr(self, name) == default:
                written.pop(name, None)
        return written

    @property
    def hints(self) -> Hints:
        """What is known of text that does not say it itself."""
        ids = (self.user_column, self.item_column)
        return Hints(ids, self.column_names, self.separator, self.layout, self.decimal)

    @property
    def group_column(self) -> str | None:
        """The column of sessions or of baskets."""
        return self.session_column if self.basket_column is None else self.basket_column

    def in_baskets(self) -> ReadingOptions:
        """The same where what belongs together has no order, whether sessions or baskets were
        named.
        """
        if self.session_column is not None:
            return self.model_copy(
                update={"session_column": None, "basket_column": self.session_column}
            )
        return self.model_copy(update={"baskets": self.session_gap is not None})

    @property
    def grouping(self) -> Grouping | None:
        """How rows become sessions or baskets; None where they are pairs."""
        if self.group_column is None and self.session_gap is None:
            return None
        name = BASKET if self.baskets or self.basket_column is not None else SESSION
        return Grouping(name, self.session_gap, self.ordered_by_time)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that reading with these options needs, each once."""
        names = [self.user_column, self.item_column]
        if self.threshold is not None:
            names.append(self.threshold_column)
        if self.confidence is not None:
            names.append(column_of(self.confidence))
        if self.target is not None:
            names.append(column_of(self.target, "target"))
        if self.timestamp_column is not None:
            names.append(self.timestamp_column)
        others = (self.group_column, self.position_column, self.segment_column)
        names += [name for name in others if name is not None]
        return tuple(dict.fromkeys(names))


def column_of(text: str, what: str = "confidence") -> str:
    """The column that a rule for confidences, or for targets, names."""
    found = (target_rule if what == "target" else confidence_rule)(text).column
    assert found is not None  # only statistics go without one
    return found


def confidence_rule(text: str) -> ColumnRule:
    """Read ``"count"``, ``"1 + 40 * rating"`` or ``"1 + log1p(count)"``: see ``_rules``, of which
    confidences take the functions of one number. Raises ValueError for anything else.

    >>> confidence_rule("1 + 40 * rating")
    ColumnRule(column='rating', constant=1.0, steps=(Affine(intercept=1.0, slope=40.0),))
    >>> confidence_rule("bm25(count)")
    Traceback (most recent call last):
    ValueError: confidence 'bm25(count)' is a statistic of all data (bm25), which is ...
    """
    return _pointwise(text, "confidence")


def target_rule(text: str) -> ColumnRule:
    """As ``confidence_rule``, for targets, which may be any finite numbers.

    A text that is no rule and calls no function is a column of that name.

    >>> target_rule("log1p(plays)").column, target_rule("score + bonus").column
    ('plays', 'score + bonus')
    """
    try:
        return _pointwise(text, "target")
    except ValueError:
        if any(re.search(rf"\b{name}\s*\(", text) for name in (*NUMERIC, *STATISTICS)):
            raise
        return ColumnRule(text, 1.0, ())


def _pointwise(text: str, what: str) -> ColumnRule:
    found = rule(text, what)
    for step in found.steps:
        if isinstance(step, Function) and step.name in STATISTICS:
            raise ValueError(
                f"{what} {text!r} is a statistic of all data ({step.name}), which is for models "
                "of other libraries and their --rating. Use a column, or functions of one number "
                "such as log1p"
            )
    return found


def rating_rule(text: str) -> ColumnRule:
    """Read a rule for r, the entries of a matrix: all of ``_rules``. Raises ValueError.

    >>> rating_rule("bm25(plays, 1.2, 0.75)").steps
    (Function(name='bm25', arguments=(1.2, 0.75)),)
    """
    return rule(text, "rating")
