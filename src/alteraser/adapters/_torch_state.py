"""State dicts and optimizers in files of ``torch.save``: which tensors there are, and what is kept
beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._pickle import Call
from alteraser.adapters._torch_zip import Tensor, TorchArchive, is_tensor
from alteraser.adapters.contract import Changed
from alteraser.errors import IntegrityError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Moment:
    """A tensor that an optimizer keeps beside a parameter."""

    side: str
    """``user`` or ``item`` where it has the shape of such a table; else empty."""
    parameter: str
    """Empty where it is not known whose it is."""
    tensor: Tensor


def entries(value: Any) -> list[tuple[Any, Any]]:
    """The pairs of a dict or OrderedDict in a tree; none for anything else."""
    return (
        value.pairs
        if isinstance(value, Call)
        else list(value.items())
        if isinstance(value, dict)
        else []
    )


def tensors_of(archive: TorchArchive, state: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by name. Raises IntegrityError where there are none."""
    found = {
        str(name): archive.located(value, str(name))
        for name, value in entries(state)
        if is_tensor(value)
    }
    if not found:
        raise IntegrityError(f"{path}: its state_dict holds no tensors", path=str(path))
    return found


def moments_of(
    archive: TorchArchive,
    optimizer: Any,
    tensors: Mapping[str, Tensor],
    users: tuple[str, ...],
    items: tuple[str, ...],
) -> tuple[Moment, ...]:
    """What ``optimizer`` keeps; parameter k of it is the k-th of the state dict, if the shapes
    agree.
    """
    names = list(tensors)
    found = []
    for key, kept in entries(dict(entries(optimizer)).get("state")):
        name = names[key] if type(key) is int and 0 <= key < len(names) else ""
        for entry, value in entries(kept):
            if not is_tensor(value):
                continue
            tensor = archive.located(value, f"optimizer.{key}.{entry}")
            if not tensor.shape:  # the count of steps
                continue
            known = bool(name) and tensors[name].shape == tensor.shape
            side = "user" if name in users else "item" if name in items else ""
            found.append(Moment(side if known else "", name if known else "", tensor))
    return tuple(found)


def scrubbed(
    archive: TorchArchive, moments: tuple[Moment, ...], changed: Changed, *, first: int = 0
) -> dict[Tensor, Array]:
    """Moments with zeros in the rows that changed, whose numbers in the table begin at ``first``.

    Of further parameters that changed, and of parameters that are not known, everything is zero.
    """
    rows = {"user": np.union1d(changed.user_rows, changed.erased_users), "item": changed.item_rows}
    changes: dict[Tensor, Array] = {}
    for moment in moments:
        if moment.side and rows[moment.side].size:
            values = np.array(archive.array(moment.tensor))
            values[first + rows[moment.side]] = 0
            changes[moment.tensor] = values
        elif not moment.side and (
            moment.parameter in changed.further or (not moment.parameter and not changed.nothing)
        ):
            changes[moment.tensor] = np.zeros(moment.tensor.shape, moment.tensor.kind)
    return changes
