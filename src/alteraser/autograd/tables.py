"""A module with an embedding table per side: found by name, held against data, and copied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from alteraser.data.deletion import Deletion
from alteraser.data.interactions import Interactions, accounted
from alteraser.data.selection import Selection
from alteraser.errors import InvalidInput
from alteraser.evidence.claims import ResidualOnly
from alteraser.verbs.deleting import PLAIN, Matching, match


@dataclass(frozen=True, eq=False)
class Tabled:
    """A module whose row i of a table belongs to row i of the data; it keeps no ids, no digest."""

    module: torch.nn.Module
    users: str = "user_embedding"
    """Name of the submodule with the user embeddings"""
    items: str = "item_embedding"

    @property
    def kind(self) -> str:
        """The module's class, in small letters."""
        return type(self.module).__name__.lower()

    def tables(self) -> list[Tensor]:
        """The weights of both embeddings, users first. InvalidInput for one that is not there."""
        return [table_of(self.module, name) for name in (self.users, self.items)]

    def check(self, data: Interactions) -> None:
        """InvalidInput where the tables have other rows than ``data``."""
        for table, rows, name in zip(
            self.tables(), data.shape, (self.users, self.items), strict=True
        ):
            if table.shape[0] != rows:
                raise InvalidInput(
                    f"{name} has {table.shape[0]} rows, the data have {rows}: give data in the "
                    "module's rows"
                )


@match.register(Tabled)
def match_rows(
    model: Tabled, selection: Selection, data: Interactions, how: Matching = PLAIN
) -> Deletion:
    """``match`` for a module, which knows nothing of its data but how many rows they have."""
    if how.grown or how.readmit:
        raise InvalidInput(
            f"a {type(model.module).__name__} learns no additions: give the data as trained on"
        )
    model.check(data)
    removal = accounted(data.remove(selection), strict=how.strict, below=how.below)
    return Deletion(data, removal)


@contextmanager
def copied(model: Tabled) -> Iterator[tuple[torch.nn.Module, list[Tensor]]]:
    """(a copy of the module, its tables), none of which requires a gradient inside the block."""
    module = deepcopy(model.module)
    wanted = [parameter.requires_grad for parameter in module.parameters()]
    module.requires_grad_(False)
    yield module, [table_of(module, name) for name in (model.users, model.items)]
    for parameter, required in zip(module.parameters(), wanted, strict=True):
        parameter.requires_grad_(required)


def table_of(module: torch.nn.Module, name: str) -> Tensor:
    """The weights of the embedding ``name``; InvalidInput, with those there are, if it is none."""
    try:
        weight = module.get_submodule(name).weight
    except AttributeError:
        known = ", ".join(
            n for n, part in module.named_modules() if isinstance(part, torch.nn.Embedding)
        )
        raise InvalidInput(
            f"the module has no embedding {name!r}; it has {known or 'none'}"
        ) from None
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise InvalidInput(f"{name}.weight is not a matrix of embeddings")
    return weight


def said_of(residual: float) -> ResidualOnly:
    """What may be said after a loss that no certificate knows."""
    return ResidualOnly(
        f"the gradient of its loss on what remains is {residual:.2g} of the deletion's push; how "
        "far that is from an optimum was not measured",
        lacks="a distance from an optimum for what remains",
    )
