"""What can lie at MODEL, a line each: how it is told, and what answers for it in each command.

The first line that is so holds. What answers is named and imported when it is asked, so that no
command loads what it does not need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from alteraser.cli import item_tables
from alteraser.cli.beside import COMPOSITE
from alteraser.cli.foreign_options import Reading, is_foreign


@dataclass(frozen=True)
class Lying:
    """A line: ``tells(path, options)``, and ``module:name`` of the ``Subject`` that forgets and of
    the functions that answer a ``VerifyRequest``, an ``InspectRequest`` and, of models of ours, an
    ``EvaluateRequest``.
    """

    name: str
    tells: Callable[[Path, Reading], bool]
    forget: str
    verify: str
    inspect: str
    evaluate: str = "alteraser.cli.evaluate:by_user"

    def answering(self, command: str) -> Any:
        """What answers for it in ``command``."""
        module, _, name = getattr(self, command).partition(":")
        return getattr(import_module(module), name)


def lying(path: Path, options: Reading) -> Lying:
    """The line for what lies at ``path``. NotFound where nothing does."""
    return next(line for line in SUBJECTS if line.tells(path, options))


def _is_table(path: Path, options: Reading) -> bool:
    return item_tables.recognized(path, options.format) is not None


def _is_several(path: Path, _: Reading) -> bool:
    return _kind(path) == COMPOSITE


def _is_linear(path: Path, _: Reading) -> bool:
    from alteraser.models.registry import LINEAR

    return _kind(path) in LINEAR


def _is_exact(path: Path, _: Reading) -> bool:
    from alteraser.models.registry import KINDS

    return _kind(path) in KINDS


def _is_rest(_: Path, __: Reading) -> bool:
    return True


def _kind(path: Path) -> str:
    from alteraser.models.folder import kind_at

    return kind_at(path)


CLI = "alteraser.cli."
OURS = {"verify": CLI + "verify:ours", "inspect": CLI + "inspect:ours"}

SUBJECTS = [
    Lying(
        "a table of items of another library",
        _is_table,
        CLI + "item_tables:ItemTableSubject",
        CLI + "item_tables:verify",
        CLI + "item_tables:inspect",
    ),
    Lying(
        "a model of another library",
        is_foreign,
        CLI + "foreign:Theirs",
        CLI + "foreign:verify",
        CLI + "inspect:theirs",
    ),
    Lying(
        "a linear model of several sources",
        _is_several,
        CLI + "relational.subjects:Composite",
        CLI + "relational.verify:verify",
        CLI + "relational.inspect:inspect",
        CLI + "relational.evaluate:by_context",
    ),
    Lying("a linear model of interactions", _is_linear, CLI + "relational.subjects:Linear", **OURS),
    Lying("counts or a closed form", _is_exact, CLI + "ours:ExactSubject", **OURS),
    Lying("a model with factors", _is_rest, CLI + "ours:FactorsSubject", **OURS),
]
