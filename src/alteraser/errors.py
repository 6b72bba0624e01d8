"""Every error AltEraser raises on purpose, in one small tree.

A message names the input, the row or key, what was expected and what to do. Each class carries the
exit code that the command line ends with and a ``kind`` that scripts can match on.

    AltEraserError
    ├── InvalidInput            2   malformed or contradictory input
    ├── NotFound                3   a path, user or model that does not exist; nothing to forget
    ├── OutputExists            4   the output is already there
    ├── Conflict                4   somebody else holds it, or it is too late for this
    ├── RefusedByPolicy         5
    ├── IntegrityError          6   digests, formats, model and data that do not belong together
    ├── ResourceLimit           7   a full disk, too little memory
    ├── NumericFailure          8   a singular or non-finite row
    │   └── NotConverged        8   an asked-for tolerance was not reached
    ├── DependencyMissing       9   an optional extra that is not installed, a server that is down
    └── Interrupted           130   Ctrl-C
"""

from __future__ import annotations

from typing import Any, ClassVar


class AltEraserError(Exception):
    """Base of the tree. ``details`` is machine-readable and goes into the JSON ``error``
    document.
    """

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @property
    def code(self) -> str:
        """The word for exactly this, where it has one of its own (``details["code"]``), or its
        ``kind``.
        """
        return str(self.details.get("code", self.kind))


class InvalidInput(AltEraserError):
    """A file, table, option or argument that cannot be used as it is."""

    exit_code = 2
    kind = "invalid_input"


class NotFound(AltEraserError):
    """A path, user, item or model that does not exist."""

    exit_code = 3
    kind = "not_found"


class OutputExists(AltEraserError):
    """The output exists already; nothing is ever overwritten."""

    exit_code = 4
    kind = "output_exists"


class Conflict(AltEraserError):
    """Something else stands against it: another process, another answer, a later state."""

    exit_code = 4
    kind = "conflict"


class RefusedByPolicy(AltEraserError):
    """A rule that somebody set forbids the operation."""

    exit_code = 5
    kind = "refused"


class IntegrityError(AltEraserError):
    """Bytes, digests or shapes that do not belong together."""

    exit_code = 6
    kind = "integrity"


class ResourceLimit(AltEraserError):
    """The machine ran out of something: disk, memory."""

    exit_code = 7
    kind = "resource"


class NumericFailure(AltEraserError):
    """A row's system is singular or not finite; nothing was written."""

    exit_code = 8
    kind = "numeric"


class NotConverged(NumericFailure):
    """An asked-for tolerance was not reached within the cap."""

    kind = "not_converged"


class DependencyMissing(AltEraserError, ImportError):
    """Something optional is not installed or not reachable."""

    exit_code = 9
    kind = "dependency"


class Interrupted(AltEraserError):
    """The user stopped the work; inputs are untouched and no output is left half written."""

    exit_code = 130
    kind = "interrupted"
