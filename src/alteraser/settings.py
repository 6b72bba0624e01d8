"""Typed configuration whose errors are this package's own: they name the setting, what was given
and what is expected.

>>> from pydantic import Field
>>> class Kernel(Configured):
...     width: int = Field(default=3, ge=1)
>>> Kernel(width=0)
Traceback (most recent call last):
alteraser.settings.WrongSetting: Kernel: width: Input should be greater than or equal to 1, not 0
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from alteraser.errors import InvalidInput

LONGEST = 60
"""Characters of a given value that a message repeats."""


class WrongSetting(InvalidInput, ValueError):
    """A setting that does not exist or has a value it cannot have; ``faults`` are (path of names,
    reason) of each, ``names`` the settings there are, which reasons may speak of.
    """

    def __init__(
        self,
        what: str,
        faults: list[tuple[tuple[str, ...], str]],
        names: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(
            f"{what}: "
            + "; ".join(": ".join([*[".".join(where)] * bool(where), why]) for where, why in faults)
        )
        self.faults, self.names = faults, names


class Configured(BaseModel):
    """A frozen set of settings; unknown names are refused. Wrong ones are a WrongSetting, also from
    nested sets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def __init__(self, **settings: Any) -> None:
        with _told(type(self)):
            super().__init__(**settings)

    @classmethod
    def model_validate(cls, obj: Any, **how: Any) -> Self:
        """The settings in ``obj``, a dict. Raises WrongSetting."""
        with _told(cls):
            return super().model_validate(obj, **how)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **how: Any) -> Self:
        """The settings in a JSON document. Raises WrongSetting."""
        with _told(cls):
            return super().model_validate_json(json_data, **how)


@contextmanager
def _told(kind: type[BaseModel]) -> Iterator[None]:
    try:
        yield
    except ValidationError as cause:
        names = frozenset(kind.model_fields)
        raise WrongSetting(kind.__name__, faults_of(cause), names) from None


def faults_of(cause: ValidationError) -> list[tuple[tuple[str, ...], str]]:
    """(path of names, reason) of everything that ``cause`` found, without pydantic's links to its
    own pages.
    """
    faults = []
    for entry in cause.errors(include_url=False):
        where = tuple(str(part) for part in entry["loc"])
        inner = entry.get("ctx", {}).get("error")
        if isinstance(inner, WrongSetting):  # of a set within this one
            faults += [((*where, *rest), why) for rest, why in inner.faults]
        else:
            faults.append((where, _reason(entry)))
    return faults


def _reason(entry: Any) -> str:
    message = str(entry["msg"]).removeprefix("Value error, ")
    if entry["type"] == "extra_forbidden":
        return "there is no such setting"
    if entry["type"] == "missing":
        return "is missing"
    if not message.startswith("Input should"):  # a check of our own, which says what it found
        return message
    given = repr(entry["input"])
    return f"{message}, not {given}" if len(given) <= LONGEST else message
