"""Rules: from one column to the number that a row of the data, or an entry of a matrix of them,
stands for.

    rule     = product {("+" | "-") product}
    product  = factor {("*" | "/") factor}
    factor   = NUMBER | COLUMN | "`" anything "`" | "(" rule ")"
             | FUNCTION "(" rule {"," NUMBER} ")"

A rule names one column, once, so it is a chain of steps: affine ones and functions. Functions of a
number:

    log(x)   log1p(x)   sqrt(x)   min(x, A)   clip(x, A, B)

Functions of the whole matrix, for models of other libraries alone:

    sum(x)                  the sum over the rows of a (user, item) pair
    bm25(x, K1, B)
        x (K1 + 1) / (K1 ((1 − B) + B s_u / s̄) + x) · (log N − log(1 + n_v)), K1 = 100, B = 0.8
    tfidf(x)                √x · (log N − log(1 + n_v))
    item_bm25, item_tfidf
        the same of the transposed matrix: items are the documents, users the terms

with N the number of documents (the rows of users; empty ones count), s_u the sum of a document's x,
s̄ its mean over all N, n_v the number of entries of a term: ``bm25_weight`` and ``tfidf_weight`` of
implicit 0.7 on the user × item matrix, and on the item × user matrix. The first of these functions
works on entries of the matrix, and so does what is around it; what is inside works on rows. Inside
them a number may stand in for the column: ``bm25(1)`` weighs pairs that have no counts.

A name ends at any of ``+ * / ( ) ,`` and before a word that begins with ``-``: put other columns in
backticks. A text without any of these signs is a column, spaces and all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{_NUMBER})(?![^\s+*/(),`-])|(?P<sign>[-+*/(),])|`(?P<quoted>[^`]+)`"
    r"|(?P<name>[^\s+*/(),`]+(?:\s+(?!-)[^\s+*/(),`]+)*))\s*"
)
DEPTH = 20
"""Parentheses and signs inside one another."""
_SIGNS = re.compile(r"[+*/(),`]")


def quoted(column: str) -> str:
    """``column`` as a rule that is nothing but this column.

    >>> quoted("plays"), quoted("a + b")
    ('plays', '`a + b`')
    """
    return (
        f"`{column}`"
        if _SIGNS.search(column) or " -" in column or column.startswith("-")
        else column
    )


class Affine(NamedTuple):
    """A step: ``intercept + slope * x``."""

    intercept: float
    slope: float


class Function(NamedTuple):
    """A step: a function by its name, with the numbers behind its first argument."""

    name: str
    arguments: tuple[float, ...] = ()


Step = Affine | Function


class Matrix(NamedTuple):
    """Where the entries of a matrix are: what statistics of it need."""

    users: Rows
    items: Rows
    shape: tuple[int, int]
    """(m, n), empty rows and columns included"""


NUMERIC: dict[str, tuple[tuple[int, int], Callable[..., Floats]]] = {
    "log": ((0, 0), np.log),
    "log1p": ((0, 0), np.log1p),
    "sqrt": ((0, 0), np.sqrt),
    "min": ((1, 1), np.minimum),
    "clip": ((2, 2), np.clip),
}
"""Functions of one number: the fewest and most further arguments, and what computes them."""

STATISTICS: dict[str, tuple[int, int]] = {
    "sum": (0, 0),
    "bm25": (0, 2),
    "tfidf": (0, 0),
    "item_bm25": (0, 2),
    "item_tfidf": (0, 0),
}
"""Functions of the whole matrix: the fewest and most further arguments."""


@dataclass(frozen=True)
class ColumnRule:
    """A chain of steps from a column.

    >>> rule("1 + 40 * log1p(plays)")
    ColumnRule(column='plays', constant=1.0, steps=(Function(name='log1p', arguments=()),
    Affine(intercept=1.0, slope=40.0)))
    >>> rule("1 + 40 * rating").rows(np.array([0.5, 2.0]))
    array([21., 81.])
    """

    column: str | None
    """None: ``constant`` in every row."""
    constant: float = 1.0
    steps: tuple[Step, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether it is a column and nothing else."""
        return not self.steps

    @property
    def statistic(self) -> bool:
        """Whether an entry depends on others, so that taking some away changes the rest."""
        return any(
            isinstance(step, Function) and step.name in STATISTICS and step.name != "sum"
            for step in self.steps
        )

    @property
    def sums(self) -> bool:
        """Whether it says itself that the rows of a pair are added up."""
        return Function("sum") in self.steps

    @property
    def _border(self) -> int:
        """How many steps work on rows."""
        places = [
            k
            for k, step in enumerate(self.steps)
            if isinstance(step, Function) and step.name in STATISTICS
        ]
        return places[0] if places else len(self.steps)

    def rows(self, values: Floats) -> Floats:
        """The steps that work on rows of the data; ``values`` (rows,) of the column. May be
        infinite or no number.
        """
        return _chain(self.steps[: self._border], values, None)

    def entries(self, summed: Floats, matrix: Matrix) -> Floats:
        """The steps that work on entries of the matrix; ``summed`` (entries,) is ``rows``, repeated
        pairs settled.
        """
        return _chain(self.steps[self._border :], summed, matrix)


def _chain(steps: tuple[Step, ...], x: Floats, matrix: Matrix | None) -> Floats:
    with np.errstate(all="ignore"):
        for step in steps:
            if isinstance(step, Affine):
                x = step.intercept + step.slope * x
            elif step.name in NUMERIC:
                x = NUMERIC[step.name][1](x, *step.arguments)
            elif step.name != "sum":
                assert matrix is not None
                x = _weighted(step, x, matrix)
    return x


def _weighted(step: Function, x: Floats, matrix: Matrix) -> Floats:
    users, items, (m, n) = matrix
    documents, terms, size, further = (
        (items, users, n, m) if step.name.startswith("item_") else (users, items, m, n)
    )
    if not x.size:
        return x
    idf = np.log(float(size)) - np.log1p(np.bincount(terms, minlength=further))
    if step.name.endswith("tfidf"):
        return np.asarray(np.sqrt(x) * idf[terms])
    k1, b = (*step.arguments, *(100.0, 0.8)[len(step.arguments) :])
    sums = np.bincount(documents, x, minlength=size)
    length_norm = (1.0 - b) + b * sums / sums.mean()
    return np.asarray(x * (k1 + 1.0) / (k1 * length_norm[documents] + x) * idf[terms])


# ---------------------------------------------------------------- reading one


def rule(text: str, what: str = "rule") -> ColumnRule:
    """The rule that ``text`` says; ``what`` names it in messages. Raises ValueError, saying what
    was expected.

    >>> rule("play count")
    ColumnRule(column='play count', constant=1.0, steps=())
    >>> rule("1 + 40 * min(log(1 + plays / 0.1), 3)").steps[0]
    Affine(intercept=1.0, slope=10.0)
    >>> rule("plays * hours", "rating")
    Traceback (most recent call last):
    ValueError: rating 'plays * hours' names two columns, plays and hours; a rule is about one.
    Compute it in the data
    """
    if text.strip() and not _SIGNS.search(text):
        return ColumnRule(text)
    found = _Parser(text, what).whole()
    if found.column is None and not any(
        isinstance(step, Function) and step.name in STATISTICS for step in found.steps
    ):
        raise ValueError(
            f"{what} {text!r} names no column. Write for example 'plays' or '1 + 40 * plays'"
        )
    return found


class _Parser:
    """Recursive descent over the grammar above. A number is a rule without a column and without
    steps.
    """

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what = text, what
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self.fail()
            kind = match.lastgroup or ""
            self.tokens.append((kind, match[kind]))
            at = match.end()
        self.at = self.depth = 0

    def fail(self, why: str = "") -> NoReturn:
        raise ValueError(
            f"{self.what} {self.text!r} "
            + (
                why
                or "is neither a column nor a rule. Write for example 'count', '1 + 40 * count' or "
                "'1 + 40 * log1p(count)', and a column with such signs in its name in `backticks`"
            )
        )

    def next(self, *signs: str) -> str | None:
        """The sign that comes next, taken, if it is one of ``signs``."""
        if (
            self.at < len(self.tokens)
            and self.tokens[self.at][0] == "sign"
            and self.tokens[self.at][1] in signs
        ):
            self.at += 1
            return self.tokens[self.at - 1][1]
        return None

    def whole(self) -> ColumnRule:
        found = self.sum()
        if self.at < len(self.tokens):
            self.fail()
        return found

    def sum(self) -> ColumnRule:
        left = self.product()
        while sign := self.next("+", "-"):
            right = self.product()
            factor = 1.0 if sign == "+" else -1.0
            if _number(right):
                left = _affine(left, factor * right.constant, 1.0)
            elif _number(left):
                left = _affine(right, left.constant, factor)
            else:
                self.two(left, right)
        return left

    def product(self) -> ColumnRule:
        left = self.factor()
        while sign := self.next("*", "/"):
            right = self.factor()
            if sign == "/":
                if not _number(right):
                    self.fail("divides by something that is no number. Compute it in the data")
                if right.constant == 0:
                    self.fail("divides by zero")
                right = replace(right, constant=1.0 / right.constant)
            if _number(right):
                left = _affine(left, 0.0, right.constant)
            elif _number(left):
                left = _affine(right, 0.0, left.constant)
            else:
                self.two(left, right)
        return left

    def factor(self) -> ColumnRule:
        self.depth += 1
        if self.depth > DEPTH:
            self.fail(f"is nested more than {DEPTH} deep")
        try:
            return self._factor()
        finally:
            self.depth -= 1

    def _factor(self) -> ColumnRule:
        if sign := self.next("-", "+"):
            return _affine(self.factor(), 0.0, 1.0 if sign == "+" else -1.0)
        if self.next("("):
            found = self.sum()
            self.close()
            return found
        if self.at == len(self.tokens) or self.tokens[self.at][0] == "sign":
            self.fail()
        kind, word = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return ColumnRule(None, float(word))
        if kind == "name" and self.next("("):
            return self.function(word)
        return ColumnRule(word)

    def function(self, name: str) -> ColumnRule:
        bounds = NUMERIC[name][0] if name in NUMERIC else STATISTICS.get(name)
        if bounds is None:
            self.fail(
                f"calls {name!r}, and there are {', '.join([*NUMERIC, *STATISTICS])}. A column "
                "with parentheses in its name is put in `backticks`"
            )
        found = self.sum()
        arguments: list[float] = []
        while self.next(","):
            number = self.sum()
            if not _number(number):
                self.fail(f"gives {name} something that is no number behind its first argument")
            arguments.append(number.constant)
        self.close()
        if not bounds[0] <= len(arguments) <= bounds[1]:
            most = {0: "nothing", 1: "one number", 2: "two numbers"}[bounds[1]]
            few = most if bounds[0] == bounds[1] else f"at most {most}"
            self.fail(
                f"gives {name} {len(arguments)} number(s) behind its first argument, where {few} "
                "is expected"
            )
        if name == "clip" and arguments[0] > arguments[1]:
            self.fail(f"clips from {arguments[0]:g} up to {arguments[1]:g}, which is less")
        step = Function(name, tuple(arguments))
        if name in STATISTICS:
            if (
                any(
                    isinstance(inner, Function) and inner.name in STATISTICS
                    for inner in found.steps
                )
                and name == "sum"
            ):
                self.fail(
                    "sums entries of the matrix; sum is about rows of the data and stands innermost"
                )
        elif _number(found):
            return ColumnRule(None, float(NUMERIC[name][1](found.constant, *arguments)))
        return replace(found, steps=(*found.steps, step))

    def close(self) -> None:
        if not self.next(")"):
            self.fail()

    def two(self, left: ColumnRule, right: ColumnRule) -> NoReturn:
        named = [each.column or "a function of a number" for each in (left, right)]
        self.fail(
            f"names two columns, {named[0]} and {named[1]}; a rule is about one. Compute it in "
            "the data"
        )


def _number(each: ColumnRule) -> bool:
    return each.column is None and not each.steps


def _affine(inner: ColumnRule, intercept: float, slope: float) -> ColumnRule:
    """``intercept + slope * inner``, merged with an affine step that it ends in."""
    if _number(inner):
        return replace(inner, constant=intercept + slope * inner.constant)
    steps = inner.steps
    if steps and isinstance(last := steps[-1], Affine):
        steps, intercept, slope = steps[:-1], intercept + slope * last.intercept, slope * last.slope
    return replace(inner, steps=(*steps, Affine(intercept, slope)))
