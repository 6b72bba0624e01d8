"""Surprise dumps: a pickle of {predictions, algo}, of which SVD (with or without biases) has rows
to forget in.

The algorithm carries its training set: ``trainset.ur`` and ``ir`` hold every rating twice, and the
id maps are there too. Forgotten ratings leave both lists, an erased user leaves ``ur`` and the maps
(so that Surprise does not know them), and predictions, which the old model made, are dropped. Row
numbers stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters._pickle import Call, load, protocol_of
from alteraser.adapters._pickled import (
    PICKLE,
    id_map,
    mentions,
    model_arrays,
    names,
    put_rows,
    read_pickle,
    same_rows,
    scalar,
    write_pickle,
)
from alteraser.adapters._pickling import dump
from alteraser.adapters.contract import CONTAINER, Changed, Foreign, ForeignLoss, Holding, Sibling
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.rating_trainer import RatingTrainer
from alteraser.data.files import check_output
from alteraser.errors import InvalidInput

SVD = ("surprise.prediction_algorithms.matrix_factorization", "SVD")
REGULARIZATION = {
    "users": "reg_pu",
    "items": "reg_qi",
    "user_biases": "reg_bu",
    "item_biases": "reg_bi",
}
START = {"init_mean": 0.0, "init_std_dev": 0.1}
RATES = ("lr_pu", "lr_qi", "lr_bu", "lr_bi")
SETTINGS = ("n_factors", "n_epochs", "biased", *REGULARIZATION.values(), *RATES)

EXACT = names(
    SVD,
    ("surprise.trainset", "Trainset"),
    ("surprise.prediction_algorithms.predictions", "Prediction"),
)
"""What is written again."""


@dataclass(frozen=True)
class Surprise:
    """The adapter."""

    name: str = "surprise"

    def recognizes(self, path: Path) -> bool:
        """A pickle that begins with Surprise's dictionary, or one of its algorithms."""
        return mentions(path, b"surprise.prediction_algorithms")

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``contract.Adapter.read``."""
        tree = read_pickle(path, _readable, allow=options.allow_pickle)
        algorithm = _algorithm(tree, path)
        attributes = algorithm.attributes
        settings = {name: scalar(attributes.get(name), name) for name in SETTINGS}
        settings |= {name: scalar(attributes[name], name) for name in START if name in attributes}
        wanted = {"pu": 2, "qi": 2} | ({"bu": 1, "bi": 1} if settings["biased"] else {})
        arrays = model_arrays(attributes, wanted, path)
        same_rows(arrays, ("pu", "bu"), ("qi", "bi"), path=path)
        trainset = _trainset(attributes, path)
        for option, asked in (
            ("--alpha", options.alpha),
            ("--missing-weight", options.missing_weight),
            ("--regularization", options.regularization),
            ("--loss", options.loss),
        ):
            if asked is not None:
                raise InvalidInput(
                    f"{option} {asked}: {path} says everything about its loss; leave it out"
                )
        if options.implicit:
            raise InvalidInput(
                f"--implicit contradicts {path}: Surprise's SVD is trained on ratings"
            )
        m, n = arrays["pu"].shape[0], arrays["qi"].shape[0]
        return Foreign(
            path=path,
            format=self.name,
            kind="svd",
            users=arrays["pu"],
            items=arrays["qi"],
            loss=_loss(settings),
            library="Surprise",
            user_biases=arrays.get("bu"),
            item_biases=arrays.get("bi"),
            offset=_mean(trainset) if settings["biased"] else 0.0,
            hyperparameters=settings,
            user_ids=id_map(trainset["_raw2inner_id_users"].items(), m, f"{path}: users"),
            item_ids=id_map(trainset["_raw2inner_id_items"].items(), n, f"{path}: items"),
            ids_from=CONTAINER,
            holds=_holds(tree),
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """See ``contract.Adapter.write``."""
        check_output(out)
        content = foreign.path.read_bytes()
        if not changed.nothing:
            tree = load(content, str(foreign.path), EXACT)
            attributes = _algorithm(tree, foreign.path).attributes
            for name in ("users", "items", "user_biases", "item_biases"):
                put_rows(
                    attributes,
                    dict(users="pu", items="qi", user_biases="bu", item_biases="bi")[name],
                    getattr(changed, name),
                )
            mean = float(foreign.offset if changed.offset is None else changed.offset)
            biased = foreign.hyperparameters["biased"]
            _scrub(_trainset(attributes, foreign.path), changed, mean if biased else None)
            if isinstance(tree, dict):
                tree["predictions"] = [] if tree.get("predictions") else None
            content = dump(tree, protocol_of(content) or 4)
        write_pickle(out, content)

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """Other dumps in the same folder, and tables of ratings."""
        found = []
        for each in sorted(path.parent.iterdir()):
            if each != path and each.is_file() and self.recognizes(each):
                found.append(
                    Sibling(
                        each,
                        "another dump of Surprise, with all its ratings",
                        "Forget in it, or delete it.",
                    )
                )
        return tuple(found)


def _readable(module: str, name: str) -> bool:
    """Also Surprise's other algorithms, so that they are refused by name."""
    return EXACT(module, name) or (
        module.startswith("surprise.") and name.isidentifier() and name[:1].isupper()
    )


def _algorithm(tree: Any, path: Path) -> Call:
    algorithm = tree.get("algo") if isinstance(tree, dict) else tree
    if not isinstance(algorithm, Call) or not algorithm.function.module.startswith("surprise."):
        what = (
            "it holds predictions alone"
            if isinstance(tree, dict) and tree.get("predictions")
            else "it holds none"
        )
        raise InvalidInput(f"{path} is not a dump of a Surprise algorithm ({what})", path=str(path))
    if (algorithm.function.module, algorithm.function.name) != SVD:
        raise InvalidInput(
            f"{path} is Surprise's {algorithm.function.name}; only SVD has rows to forget in. It "
            "holds every rating it was trained on: train it again without the forget set, and "
            "delete this file",
            path=str(path),
        )
    return algorithm


def _trainset(attributes: dict[str, Any], path: Path) -> dict[str, Any]:
    trainset = attributes.get("trainset")
    if not isinstance(trainset, Call) or not isinstance(trainset.state, dict):
        raise InvalidInput(
            f"{path} was dumped without its training set, and so without ids", path=str(path)
        )
    return trainset.state


def _mean(trainset: dict[str, Any]) -> float:
    """The global mean, as remembered or as Surprise would work it out."""
    if trainset.get("_global_mean") is not None:
        return float(scalar(trainset["_global_mean"], "global_mean"))
    ratings = [rating for _, pairs in trainset["ur"].pairs for _, rating in pairs]
    return float(np.mean(ratings)) if ratings else 0.0


def _scrub(trainset: dict[str, Any], changed: Changed, mean: float | None) -> None:
    """Take the forgotten ratings out of both lists and the erased users out of lists and maps.

    ``mean`` is the global mean that goes with the biases; None lets Surprise work it out again.
    """
    users, items = changed.removed
    gone = set(zip(users.tolist(), items.tolist(), strict=True))
    erased = set(changed.erased_users.tolist())
    by_user, by_item = trainset["ur"], trainset["ir"]
    before = sum(len(pairs) for _, pairs in by_user.pairs)
    by_user.pairs = [
        (user, [pair for pair in pairs if (user, pair[0]) not in gone])
        for user, pairs in by_user.pairs
        if user not in erased
    ]
    by_item.pairs = [
        (item, [pair for pair in pairs if (pair[0], item) not in gone and pair[0] not in erased])
        for item, pairs in by_item.pairs
    ]
    after = sum(len(pairs) for _, pairs in by_user.pairs)
    trainset["n_ratings"] = int(scalar(trainset["n_ratings"], "n_ratings")) - (before - after)
    trainset["_global_mean"] = mean
    _drop_ids(trainset, erased)


def _drop_ids(trainset: dict[str, Any], erased: set[int]) -> None:
    """The erased users' ids, out of the map and out of the one that Surprise makes of it when
    asked.
    """
    rows = trainset["_raw2inner_id_users"]
    for raw in [raw for raw, row in rows.items() if row in erased]:
        del rows[raw]
    names = trainset.get("_inner2raw_id_users")
    if isinstance(names, dict):
        for row in erased:
            names.pop(row, None)


def _holds(tree: Any) -> tuple[Holding, ...]:
    found = [
        PICKLE,
        Holding("trainset.ur", "every rating, by user", "forgotten ratings taken out"),
        Holding("trainset.ir", "every rating, by item", "forgotten ratings taken out"),
        Holding("trainset ids", "the ids of all users", "ids of erased users taken out"),
    ]
    if isinstance(tree, dict) and tree.get("predictions"):
        found.append(
            Holding("predictions", "true ratings, and what the old model made of them", "dropped")
        )
    return tuple(found)


def _loss(settings: dict[str, Any]) -> ForeignLoss:
    from alteraser.adapters.row_losses import svd

    rates = {name: float(settings[key]) for name, key in REGULARIZATION.items()}
    users, items, user_biases, item_biases = (float(settings[name]) for name in RATES)
    trainer = RatingTrainer(
        (users, items, user_biases, item_biases),
        int(settings["n_epochs"]),
        *(float(settings.get(name, usual)) for name, usual in START.items()),
    )
    return svd(biased=bool(settings["biased"]), trainer=trainer, **rates)


ADAPTER = Surprise()
