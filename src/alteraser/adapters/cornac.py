"""Cornac models (``<dir>/<Model>/<time>.pkl``): MF and BPR, pickled with their id maps.

A user erased whole has a zero row; their id leaves ``uid_map``, and something that no id can be
takes its place, because Cornac also reads positions off the order of that map. The training set
that ``save_trainset`` puts beside is a sibling that ``--scrub`` knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters._cornac_ids import ids_of, leave
from alteraser.adapters._pickle import Call, load, protocol_of
from alteraser.adapters._pickled import (
    PICKLE,
    array,
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
from alteraser.adapters.contract import CONTAINER, Changed, Foreign, ForeignLoss, Holding, Sibling
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.pair_trainer import PairTrainer
from alteraser.adapters.rating_trainer import RatingTrainer
from alteraser.data.files import check_output, replace_file
from alteraser.errors import InvalidInput

MF, BPR = ("cornac.models.mf.recom_mf", "MF"), ("cornac.models.bpr.recom_bpr", "BPR")
KINDS = {MF: "mf", BPR: "bpr"}
SETTINGS = ("k", "max_iter", "learning_rate", "lambda_reg", "use_bias", "seed")
DATASET = ("cornac.data.dataset", "Dataset")

EXACT = names(MF, BPR)
TRAINSET = names(DATASET, ("scipy.sparse._csr", "csr_matrix"), ("scipy.sparse._csc", "csc_matrix"))
DERIVED = (
    "user_ids",
    "user_data",
    "item_data",
    "chrono_user_data",
    "chrono_item_data",
    "csr_matrix",
    "csc_matrix",
    "dok_matrix",
)
"""What a training set works out of its interactions when asked, and keeps."""


@dataclass(frozen=True)
class Cornac:
    """The adapter."""

    name: str = "cornac"

    def recognizes(self, path: Path) -> bool:
        """A pickle that begins with one of Cornac's models."""
        return mentions(path, b"cornac.models.")

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``contract.Adapter.read``."""
        tree = read_pickle(path, _readable, allow=options.allow_pickle)
        kind, attributes = _model(tree, path)
        settings = {
            name: scalar(attributes[name], name)
            for name in SETTINGS
            if attributes.get(name) is not None
        }
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
        if options.implicit is not None and options.implicit != (kind == "bpr"):
            raise InvalidInput(
                f"{path} is Cornac's {kind.upper()}: leave --implicit and --explicit out"
            )
        biased = bool(settings.get("use_bias", True))
        wanted = {"u_factors": 2, "i_factors": 2} | ({"i_biases": 1} if biased else {})
        wanted |= {"u_biases": 1} if biased and kind == "mf" else {}
        arrays = model_arrays(attributes, wanted, path)
        same_rows(arrays, ("u_factors", "u_biases"), ("i_factors", "i_biases"), path=path)
        centered = kind == "mf" and biased
        return Foreign(
            path=path,
            format=self.name,
            kind=kind,
            users=arrays["u_factors"],
            items=arrays["i_factors"],
            loss=_loss(kind, settings, biased),
            library="Cornac",
            user_biases=arrays.get("u_biases"),
            item_biases=arrays.get("i_biases"),
            offset=float(scalar(attributes["global_mean"], "global_mean")) if centered else 0.0,
            hyperparameters=settings,
            user_ids=ids_of(attributes, "uid_map", arrays["u_factors"].shape[0], path),
            item_ids=ids_of(attributes, "iid_map", arrays["i_factors"].shape[0], path),
            ids_from=CONTAINER,
            holds=_holds(attributes),
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """See ``contract.Adapter.write``."""
        check_output(out)
        content = foreign.path.read_bytes()
        if not changed.nothing:
            tree = load(content, str(foreign.path), EXACT)
            _, attributes = _model(tree, foreign.path)
            for mine, name in (
                ("users", "u_factors"),
                ("items", "i_factors"),
                ("user_biases", "u_biases"),
                ("item_biases", "i_biases"),
            ):
                put_rows(attributes, name, getattr(changed, mine))
            if changed.offset is not None:
                attributes["global_mean"] = float(changed.offset)
            leave(attributes["uid_map"], changed.erased_users)
            attributes["_Recommender__user_ids"] = None
            for name in ("train_set", "val_set", "test_set"):
                if name in attributes:
                    attributes[name] = None
            if attributes.get("init_params"):
                attributes["init_params"] = {}
            content = dump(tree, protocol_of(content) or 5)
        write_pickle(out, content)

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """The training set saved beside, and older models in the same folder."""
        found = []
        for each in sorted(path.parent.iterdir()):
            if each == path or not each.is_file():
                continue
            if each.name.endswith(".trainset") and mentions(each, b"cornac.data."):
                what = "the training set that was saved with a model"
                found.append(Sibling(each, what, scrub=partial(scrub_trainset, each)))
            elif self.recognizes(each):
                found.append(
                    Sibling(each, "another model of Cornac", "Forget in it too, or delete it.")
                )
        return tuple(found)


def _readable(module: str, name: str) -> bool:
    """Also Cornac's other models, so that they are refused by name."""
    return EXACT(module, name) or (
        module.startswith(("cornac.models.", "cornac.data."))
        and name.isidentifier()
        and name[:1].isupper()
    )


def _model(tree: Any, path: Path) -> tuple[str, dict[str, Any]]:
    if not isinstance(tree, Call) or not tree.function.module.startswith("cornac.models."):
        raise InvalidInput(f"{path} is not a model that Cornac saved", path=str(path))
    kind = KINDS.get((tree.function.module, tree.function.name))
    attributes = tree.attributes
    if kind is None or (kind == "mf" and attributes.get("backend", "cpu") != "cpu"):
        what = tree.function.name + (" on PyTorch" if kind else "")
        raise InvalidInput(
            f"{path} is Cornac's {what}; MF (backend cpu), BPR, EASE and ItemKNN are known here. "
            "Train again without the forget set",
            path=str(path),
        )
    return kind, attributes


def _holds(attributes: dict[str, Any]) -> tuple[Holding, ...]:
    found = [PICKLE, Holding("uid_map", "the ids of all users", "ids of erased users taken out")]
    if attributes.get("init_params"):
        found.append(Holding("init_params", "the tables that training began from", "dropped"))
    if attributes.get("train_set") is not None:
        found.append(Holding("train_set", "every interaction", "dropped"))
    return tuple(found)


def _loss(kind: str, settings: dict[str, Any], biased: bool) -> ForeignLoss:
    from alteraser.adapters.row_losses import pairwise, svd
    from alteraser.models.factorization.rowloss import Pairwise, Ridge

    rate = float(settings.get("lambda_reg", 0.0))
    trainer = PairTrainer.of(settings.get("learning_rate"), settings.get("max_iter"))
    if kind == "mf":
        if trainer is None:
            return svd(rate, biased=biased)
        how = RatingTrainer((trainer.rate,) * 4, trainer.epochs, deviation=0.01)
        return svd(rate, biased=biased, trainer=how)
    # uniform negatives, skipped where they are liked; each step shrinks the three rows that it
    # touches
    loss = Pairwise(ridge=Ridge.of(rate, scaling="samples"), rejected="skip")
    return pairwise(loss, trainer)


def scrub_trainset(path: Path, foreign: Foreign, changed: Changed) -> None:
    """Take the forgotten interactions and erased users out of the training set at ``path``, in
    place.
    """
    content = path.read_bytes()
    tree = load(content, str(path), TRAINSET)
    if not isinstance(tree, Call) or (tree.function.module, tree.function.name) != DATASET:
        raise InvalidInput(
            f"{path} is not a plain training set of Cornac; delete it", path=str(path)
        )
    attributes = tree.attributes
    triple = [array(part, f"{path}: uir_tuple") for part in attributes["uir_tuple"]]
    users, items = changed.removed
    width = np.int64(max(foreign.shape[1], 1))
    gone = np.isin(triple[0].astype(np.int64) * width + triple[1], users * width + items)
    gone |= np.isin(triple[0], changed.erased_users)
    for part, values in zip(attributes["uir_tuple"], triple, strict=True):
        put_array(part, values[~gone])
    if isinstance(attributes.get("timestamps"), Call):
        put_array(attributes["timestamps"], array(attributes["timestamps"], "timestamps")[~gone])
    attributes["num_ratings"] = int((~gone).sum())
    if (~gone).any():
        attributes["global_mean"] = float(np.mean(triple[2][~gone]))
    for name in DERIVED:
        attributes[f"_Dataset__{name}"] = None
    leave(attributes["uid_map"], changed.erased_users)
    replace_file(path, dump(tree, protocol_of(content) or 5))


ADAPTER = Cornac()
