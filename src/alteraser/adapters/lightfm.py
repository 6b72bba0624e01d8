"""LightFM models, pickled by their users (the library has no ``save``), where every user and item
is one feature.

A LightFM row belongs to a *feature*; it is a user's where user features are the identity, the
default. Adagrad's and Adadelta's accumulators, which have the tables' shapes, go back in changed
rows to what they begin from. LightFM 1.17 does not build with current tools: what is read here is
its documented layout (``lightfm/lightfm.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters._pickle import Call, load, protocol_of
from alteraser.adapters._pickled import (
    PICKLE,
    array,
    id_map,
    mentions,
    model_arrays,
    names,
    put_array,
    put_rows,
    read_pickle,
    same_rows,
    scalar,
    write_pickle,
)
from alteraser.adapters._pickling import dump
from alteraser.adapters.contract import Changed, Foreign, Holding, Sibling
from alteraser.adapters.options import ForeignOptions
from alteraser.data.files import check_output
from alteraser.data.ids import IdMap
from alteraser.errors import IntegrityError, InvalidInput

MODEL, DATASET = ("lightfm.lightfm", "LightFM"), ("lightfm.data", "Dataset")
EXACT = names(MODEL, DATASET)
SETTINGS = (
    "no_components",
    "learning_schedule",
    "loss",
    "learning_rate",
    "user_alpha",
    "item_alpha",
    "max_sampled",
    "k",
    "n",
)
TABLES = {
    "users": "user_embeddings",
    "items": "item_embeddings",
    "user_biases": "user_biases",
    "item_biases": "item_biases",
}
ACCUMULATORS = {
    side: (
        f"{side}_embedding_gradients",
        f"{side}_embedding_momentum",
        f"{side}_bias_gradients",
        f"{side}_bias_momentum",
    )
    for side in ("user", "item")
}


@dataclass(frozen=True)
class LightFM:
    """The adapter."""

    name: str = "lightfm"

    def recognizes(self, path: Path) -> bool:
        """A pickle that begins with a LightFM model."""
        return mentions(path, b"lightfm.lightfm")

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``contract.Adapter.read``. Ids: ``--users-map``, the pickled ``Dataset`` or its
        ``mapping()``.
        """
        attributes = _model(read_pickle(path, EXACT, allow=options.allow_pickle), path)
        settings = {
            name: scalar(attributes[name], name)
            for name in SETTINGS
            if attributes.get(name) is not None
        }
        asked = {
            "--alpha": options.alpha,
            "--missing-weight": options.missing_weight,
            "--loss": options.loss,
            "--regularization": options.regularization,
        }
        for option, value in asked.items():
            if value is not None and not (option == "--loss" and value == settings.get("loss")):
                raise InvalidInput(
                    f"{option} {value}: {path} says everything about its loss; leave it out"
                )
        arrays = model_arrays(
            attributes,
            {"user_embeddings": 2, "item_embeddings": 2, "user_biases": 1, "item_biases": 1},
            path,
        )
        same_rows(
            arrays,
            ("user_embeddings", "user_biases"),
            ("item_embeddings", "item_biases"),
            path=path,
        )
        sizes = (arrays["user_embeddings"].shape[0], arrays["item_embeddings"].shape[0])
        user_ids, item_ids, source = self._maps(options, sizes, path)
        from alteraser.adapters.row_losses import lightfm

        rates = {name: float(settings.get(name, 0.0)) for name in ("user_alpha", "item_alpha")}
        return Foreign(
            path=path,
            format=self.name,
            kind="lightfm",
            users=arrays["user_embeddings"],
            items=arrays["item_embeddings"],
            loss=lightfm(str(settings.get("loss")), **rates),
            library="LightFM",
            user_biases=arrays["user_biases"],
            item_biases=arrays["item_biases"],
            hyperparameters=settings,
            user_ids=user_ids,
            item_ids=item_ids,
            ids_from=source,
            holds=_holds(attributes),
        )

    def _maps(
        self, options: ForeignOptions, sizes: tuple[int, int], path: Path
    ) -> tuple[IdMap | None, IdMap | None, str | None]:
        source = options.users_map
        if source is None or protocol_of(_head(source)) is None:
            return None, None, None
        if options.items_map not in (None, source):
            raise InvalidInput(
                f"{path}: --users-map and --items-map name two files; LightFM's is one for both"
            )
        users, items = _mappings(read_pickle(source, EXACT, allow=options.allow_pickle), source)
        for table, size, side in ((users, sizes[0], "users"), (items, sizes[1], "items")):
            if len(table) != size:
                raise IntegrityError(
                    f"{source} has {len(table):,} {side}, the model {size:,} rows: it is another "
                    "data set, or the model has further features, of which a row belongs to "
                    "nobody and cannot be forgotten in here",
                    path=str(source),
                )
        found = [
            id_map(table.items(), size, f"{source}: {side}")
            for table, size, side in ((users, sizes[0], "users"), (items, sizes[1], "items"))
        ]
        return found[0], found[1], str(source)

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """See ``contract.Adapter.write``."""
        check_output(out)
        content = foreign.path.read_bytes()
        if not changed.nothing:
            tree = load(content, str(foreign.path), EXACT)
            attributes = _model(tree, foreign.path)
            for mine, name in TABLES.items():
                put_rows(attributes, name, getattr(changed, mine))
            begin = (
                1.0
                if scalar(attributes.get("learning_schedule", "adagrad"), "schedule") == "adagrad"
                else 0.0
            )
            rows = {
                "user": np.union1d(changed.user_rows, changed.erased_users),
                "item": changed.item_rows,
            }
            for side, group in ACCUMULATORS.items():
                for name in group:
                    if isinstance(attributes.get(name), Call):
                        values = array(attributes[name], name).copy()
                        values[rows[side]] = begin if name.endswith("gradients") else 0.0
                        put_array(attributes[name], values)
            content = dump(tree, protocol_of(content) or 4)
        write_pickle(out, content)

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """Pickled data sets with the ids of everybody, and other models."""
        found = []
        for each in sorted(path.parent.iterdir()):
            if each != path and each.is_file() and mentions(each, b"lightfm.data"):
                found.append(
                    Sibling(
                        each,
                        "a LightFM data set: the ids of all users",
                        "Make it again, or delete it.",
                    )
                )
            elif each != path and each.is_file() and self.recognizes(each):
                found.append(
                    Sibling(each, "another LightFM model", "Forget in it too, or delete it.")
                )
        return tuple(found)


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(2)
    except OSError:
        return b""


def _model(tree: Any, path: Path) -> dict[str, Any]:
    if not isinstance(tree, Call) or (tree.function.module, tree.function.name) != MODEL:
        raise InvalidInput(
            f"{path} is not a pickled LightFM model alone; pickle the model and its Dataset apart",
            path=str(path),
        )
    return tree.attributes


def _mappings(tree: Any, path: Path) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """(user ids, item ids) of a Dataset or of its ``mapping()``, where features are the ids
    themselves.
    """
    if isinstance(tree, tuple) and len(tree) == 4:
        users, user_features, items, item_features = tree
    elif isinstance(tree, Call) and (tree.function.module, tree.function.name) == DATASET:
        members = (
            "_user_id_mapping",
            "_user_feature_mapping",
            "_item_id_mapping",
            "_item_feature_mapping",
        )
        users, user_features, items, item_features = (tree.attributes.get(name) for name in members)
    else:
        raise InvalidInput(
            f"{path} is not a pickled LightFM Dataset or its mapping()", path=str(path)
        )
    if not isinstance(users, dict) or not isinstance(items, dict):
        raise InvalidInput(f"{path} has no mappings of users and items", path=str(path))
    if users != user_features or items != item_features:
        raise InvalidInput(
            f"{path} has features that are not users or items; a row of such a model is shared, "
            "and cannot be forgotten in here",
            path=str(path),
        )
    return users, items


def _holds(attributes: dict[str, Any]) -> tuple[Holding, ...]:
    if not any(
        isinstance(attributes.get(name), Call) for group in ACCUMULATORS.values() for name in group
    ):
        return (PICKLE,)
    what = "sums of squared gradients and steps of every row, which follow its interactions"
    return (
        PICKLE,
        Holding("gradients and momentum", what, "set back to their beginning in changed rows"),
    )


ADAPTER = LightFM()
