"""State dicts that ``torch.save`` wrote (``.pt``, ``.pth``), of models that are two embedding
tables; without PyTorch.

The file holds a state dict, or a dictionary with one under ``state_dict``, ``model_state_dict`` or
``model``, and the optimizer's beside it. The tables are the two whose names say user and item. What
they minimize has to be said (``--loss``). A model with more parameters scores by more than p·q: it
is forgotten in as a module, by ``alteraser.autograd.forget_module``; a pickled module
(``torch.save(model)``) is refused, whatever its class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alteraser.adapters._pickle import Call
from alteraser.adapters._pickled import NUMPY
from alteraser.adapters._torch_state import Moment, entries, moments_of, scrubbed, tensors_of
from alteraser.adapters._torch_zip import TENSORS, Tensor, TorchArchive, is_tensor, looks_like
from alteraser.adapters.contract import Changed, Foreign, Holding, Sibling
from alteraser.adapters.losses import named_loss
from alteraser.adapters.mapped import check_finite
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.siblings import neighbors
from alteraser.data.files import check_output
from alteraser.errors import InvalidInput

STATES = ("state_dict", "model_state_dict", "model")
OPTIMIZERS = ("optimizer", "optimizer_state_dict", "optimizer_states")


@dataclass(frozen=True, eq=False)
class TorchContents:
    """What ``write`` needs to find again."""

    archive: TorchArchive
    users: Tensor
    items: Tensor
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class TorchState:
    """The adapter."""

    name: str = "torch"

    def recognizes(self, path: Path) -> bool:
        """A file of torch.save that is not RecBole's and names tensors of a user."""
        head = looks_like(path)
        return (
            b"_rebuild_tensor_v2" in head
            and b"user" in head.lower()
            and b"recbole.config" not in head
        )

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``contract.Adapter.read``."""
        archive = TorchArchive(path)
        tree = archive.description(lambda module, name: (module, name) in TENSORS | NUMPY)
        if not isinstance(tree, dict | Call):
            raise InvalidInput(
                f"{path} is a file of torch.save, but not of a state dict", path=str(path)
            )
        content = dict(entries(tree))
        tensors = tensors_of(archive, _state(tree, content), path)
        names = _tables(tensors, path)
        tables = [archive.array(tensors[name]) for name in names]
        for name, table in zip(names, tables, strict=True):
            check_finite(path, name, table)
        moments = tuple(
            moment
            for key in OPTIMIZERS
            for each in (content[key] if isinstance(content.get(key), list) else [content.get(key)])
            for moment in moments_of(archive, each, tensors, (names[0],), (names[1],))
        )
        what = "running averages of the gradients of every row, which follow its interactions"
        return Foreign(
            path=path,
            format=self.name,
            kind=options.loss or "",
            users=tables[0],
            items=tables[1],
            loss=named_loss(path, options, tables[0].shape[1]),
            library="PyTorch",
            hyperparameters={
                name: value
                for name in ("alpha", "regularization", "missing_weight")
                if (value := getattr(options, name)) is not None
            },
            holds=(Holding("optimizer", what, "set to zero in the changed rows"),)
            if moments
            else (),
            state=TorchContents(archive, tensors[names[0]], tensors[names[1]], moments),
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """See ``contract.Adapter.write``."""
        check_output(out)
        state: TorchContents = foreign.state
        new = {state.users: changed.users, state.items: changed.items}
        changes = {tensor: table for tensor, table in new.items() if table is not None}
        state.archive.write(out, changes | scrubbed(state.archive, state.moments, changed))

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """See ``contract.Adapter.siblings``."""
        return neighbors(path)


def _state(tree: Any, content: Mapping[Any, Any]) -> Any:
    """The state dict in ``tree``: itself, or under one of STATES."""
    for name in STATES:
        if any(is_tensor(value) for _, value in entries(content.get(name))):
            return content[name]
    return tree


def _tables(tensors: Mapping[str, Tensor], path: Path) -> tuple[str, str]:
    """Names of the users' and the items' table. Raises InvalidInput unless there are these two and
    nothing else.
    """
    listed = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
    found = []
    for side in ("user", "item"):
        names = [
            name
            for name, tensor in tensors.items()
            if side in name.lower() and len(tensor.shape) == 2 and tensor.kind in ("f4", "f8")
        ]
        if len(names) != 1:
            raise InvalidInput(
                f"{path} holds {listed}: expected one table of floats with {side!r} in its name, "
                f"not {len(names)}",
                path=str(path),
            )
        found.append(names[0])
    if len(tensors) > 2 or tensors[found[0]].shape[1] != tensors[found[1]].shape[1]:
        raise InvalidInput(
            f"{path} holds {listed}: a model of more than two tables of the same width scores by "
            "more than p·q. Forget in it as a module, with alteraser.autograd.forget_module",
            path=str(path),
        )
    if tensors[found[0]].kind != tensors[found[1]].kind:
        raise InvalidInput(
            f"{path} holds {listed} of different types; save both in the same", path=str(path)
        )
    return found[0], found[1]


ADAPTER = TorchState()
