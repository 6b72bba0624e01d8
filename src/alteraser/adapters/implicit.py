"""implicit's ``.npz`` files (``model.save``) and pickled models: ALS, BPR and logistic MF; CPU and
GPU models alike.

    ALS   user_factors (m, d), item_factors (n, d)
        c = α r on observed cells, 1 elsewhere, plain λ
    BPR   (m, d + 1), (n, d + 1)   a user's last column is 1, an item's is its bias
    LMF   (m, d + 2), (n, d + 2)   a user ends in (1, bias), an item in (bias, 1)

ALS fits users first, then items, so the items satisfy their normal equations: to rounding with
``use_cg=False``, else to what three steps of conjugate gradients leave. Rows without interactions
are zero; with ``use_native=False`` steps of conjugate gradients only shrink them. There is no id
map in the file, and nothing in it but the factors that data went into. Facts of release 0.7.3.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters import _implicit_pickled, npz
from alteraser.adapters._pickle import protocol_of
from alteraser.adapters._pickled import first_bytes
from alteraser.adapters.als import ALS
from alteraser.adapters.contract import Changed, Foreign, ForeignLoss, Holding, Sibling, settled
from alteraser.adapters.implicit_trainer import TINY, ImplicitTrainer
from alteraser.adapters.logistic_trainer import LogisticTrainer
from alteraser.adapters.mapped import check_finite, release
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.pair_trainer import PairTrainer
from alteraser.adapters.siblings import neighbors
from alteraser.errors import IntegrityError, InvalidInput
from alteraser.models import Objective

Array = npt.NDArray[Any]

USERS, ITEMS = "user_factors", "item_factors"

EXTRA = {"als": 0, "bpr": 1, "lmf": 2}
"""Columns beside the embeddings."""


class Implicit:
    """``--format implicit``"""

    name = "implicit"

    def recognizes(self, path: Path) -> bool:
        """A zip archive of both factor arrays, or of implicit's neighborhood models; or a pickle of
        a model.
        """
        if _implicit_pickled.recognizes(path):
            return True
        if npz.is_npz(path, USERS, ITEMS):
            return any(
                npz.is_npz(path, name) for name in ("use_cg", "verify_negative_samples", "neg_prop")
            )
        return npz.is_npz(path, "data", "indices", "indptr", "shape", "K")

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``Adapter.read``."""
        holds: tuple[Holding, ...] = ()
        if protocol_of(first_bytes(path, 2)) is not None:
            kind, hyper, users, items, holds = _implicit_pickled.read(
                path, allow=options.allow_pickle
            )
            state: Any = _implicit_pickled.Pickled(path)
        else:
            archive = state = npz.open_npz(path)
            kind = _kind(archive)
            hyper = {
                name: archive.scalar(name) for name in archive.members if name not in (USERS, ITEMS)
            }
            users, items = archive.array(USERS), archive.array(ITEMS)
        _check_shapes(path, kind, users, items, hyper)
        check_finite(path, USERS, users)
        check_finite(path, ITEMS, items)
        loss = _loss(path, kind, hyper, users.dtype, options)
        if isinstance(loss, ALS):
            hyper |= {"alpha": loss.alpha, "regularization": loss.objective.regularization}
        d = users.shape[1] - EXTRA[kind]
        return Foreign(
            path,
            self.name,
            kind,
            users[:, :d],
            items[:, :d],
            loss,
            "implicit",
            user_biases=users[:, d + 1] if kind == "lmf" else None,
            item_biases=items[:, d] if kind in ("bpr", "lmf") else None,
            hyperparameters=hyper,
            trainer=_trainer(kind, hyper, users),
            holds=holds,
            state=state,
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """The same file with other factors; a user erased whole is a row of zeros (constant columns
        stay).
        """
        arrays = {}
        if changed.users is not None or changed.user_biases is not None:
            arrays[USERS] = _columns(foreign, changed, "user")
        if changed.items is not None or changed.item_biases is not None:
            arrays[ITEMS] = _columns(foreign, changed, "item")
        if isinstance(foreign.state, npz.NpzArchive):
            npz.rewrite(foreign.state, arrays, out)
        else:
            _implicit_pickled.write(foreign.state, arrays, out)

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """See ``Adapter.siblings``."""
        return neighbors(path)


ADAPTER = Implicit()


def _kind(archive: npz.NpzArchive) -> str:
    names = archive.members.keys()
    if "K" in names and USERS not in names:
        raise InvalidInput(
            f"{archive.path} is a neighborhood model of implicit: a table of similarities between "
            "items, not factors. forget and verify take it where no --format is given"
        )
    missing = [name for name in (USERS, ITEMS) if name not in names]
    if missing:
        raise InvalidInput(
            f"{archive.path} has no {' and no '.join(missing)} (it has "
            f"{', '.join(sorted(names)) or 'nothing'}): it is not a model that implicit saved"
        )
    if "neg_prop" in names:
        return "lmf"
    if "verify_negative_samples" in names:
        return "bpr"
    if {"use_cg", "cg_steps", "alpha"} & names:
        return "als"
    raise InvalidInput(
        f"{archive.path} does not say which of implicit's models it is (no use_cg, "
        "verify_negative_samples or neg_prop): another version wrote it. Save its factors with "
        "numpy.savez and read them with --format arrays"
    )


def _check_shapes(path: Path, kind: str, users: Array, items: Array, hyper: dict[str, Any]) -> None:
    for name, array in ((USERS, users), (ITEMS, items)):
        if array.ndim != 2 or array.dtype.name not in ("float32", "float64"):
            raise InvalidInput(
                f"{path}: {name} is {array.dtype} of shape {array.shape}, expected float32 or "
                "float64 (rows, factors)"
            )
    width = users.shape[1]
    if items.shape[1] != width or items.dtype != users.dtype:
        raise IntegrityError(
            f"{path}: {USERS} is {users.dtype} {users.shape}, {ITEMS} {items.dtype} "
            f"{items.shape}; they must have the same type and number of columns, so they are not "
            "of one model"
        )
    expected = hyper.get("factors")
    if expected is not None and width != int(expected) + EXTRA[kind]:
        what = {"als": "", "bpr": " and the item bias", "lmf": " and two biases"}[kind]
        raise IntegrityError(
            f"{path}: {width} columns where a {kind.upper()} model of {expected} factors has "
            f"{int(expected) + EXTRA[kind]}: the factors{what}. Biases are missing, or the file "
            "was put together by hand"
        )
    if width <= EXTRA[kind]:
        raise IntegrityError(f"{path}: {width} columns leave no factors in a {kind.upper()} model")
    d = width - EXTRA[kind]
    constant = {
        "als": [],
        "bpr": [(USERS, users, d)],
        "lmf": [(USERS, users, d), (ITEMS, items, d + 1)],
    }[kind]
    for name, array, column in constant:
        wrong = np.flatnonzero(array[:, column] != 1)
        release(array)
        if wrong.size:
            raise IntegrityError(
                f"{path}: column {column} of {name} must be 1 throughout in a {kind.upper()} "
                f"model, where it meets the other side's bias; row {int(wrong[0])} has "
                f"{array[wrong[0], column]:g}"
            )


def _loss(
    path: Path, kind: str, hyper: dict[str, Any], dtype: Any, options: ForeignOptions
) -> ForeignLoss:
    if options.implicit is False:
        raise InvalidInput(
            f"--explicit contradicts {path}: implicit's models are for implicit feedback"
        )
    for option, asked in (("--loss", options.loss), ("--missing-weight", options.missing_weight)):
        if asked is not None:
            raise InvalidInput(
                f"{option} {asked}: {path} says which loss it minimized; leave it out",
                path=str(path),
            )
    regularization = float(
        settled(
            "regularization",
            "--regularization",
            hyper.get("regularization"),
            options.regularization,
            path,
        )
    )
    if kind == "als":
        alpha = float(settled("alpha", "--alpha", hyper.get("alpha"), options.alpha, path))
        iterative = bool(hyper.get("use_cg", True))
        leaves, worst = _leaves(iterative, int(hyper.get("iterations") or 15), dtype)
        objective = Objective(missing_weight=1.0, regularization=regularization)
        judged = 0.99 if iterative else 1.0
        python = iterative and hyper.get("use_native") is False
        known = hyper | {"alpha": alpha, "regularization": regularization}
        return ALS(
            objective,
            alpha,
            exact="item",
            leaves=leaves,
            worst=worst,
            judged=judged,
            tiny=TINY,
            lingers=_lingers(int(hyper.get("iterations") or 15)) if python else 0.0,
            rehearsal=_run("als", known, dtype, 0) if iterative else None,
        )
    from alteraser.adapters.row_losses import implicit_bpr, implicit_lmf

    if options.alpha is not None:
        raise InvalidInput(f"--alpha means nothing to a {kind.upper()} model; leave it out")
    how = hyper.get("learning_rate"), hyper.get("iterations")
    if kind == "bpr":
        return implicit_bpr(
            regularization,
            verify_negative_samples=bool(hyper["verify_negative_samples"]),
            trainer=PairTrainer.of(*how),
        )
    return implicit_lmf(
        regularization,
        float(hyper["neg_prop"]),
        int(hyper["factors"]),
        trainer=LogisticTrainer.of(*how),
    )


def _trainer(kind: str, hyper: dict[str, Any], users: Array) -> ImplicitTrainer | None:
    """The run that made an ALS model, where ``random_state`` was an integer: without it nobody
    knows the start.
    """
    seed = hyper.get("random_state")
    return None if seed is None else _run(kind, hyper, users.dtype, int(seed))


def _run(kind: str, hyper: dict[str, Any], dtype: Any, seed: int) -> ImplicitTrainer | None:
    """A run of an ALS model's training from ``seed``; None where the container does not say
    enough.
    """
    needed = ("iterations", "factors", "use_cg")
    if kind != "als" or any(hyper.get(name) is None for name in needed):
        return None
    return ImplicitTrainer(
        seed=seed,
        iterations=int(hyper["iterations"]),
        factors=int(hyper["factors"]),
        regularization=float(hyper["regularization"]),
        alpha=float(hyper["alpha"]),
        dtype=np.dtype(dtype).name,
        cg_steps=int(hyper.get("cg_steps") or 3) if hyper["use_cg"] else None,
    )


def _leaves(iterative: bool, iterations: int, dtype: Any) -> tuple[float, float]:
    """What training leaves in an item's normal equations: typically, and in nearly all rows.

    Read off models of four public data sets, α from 1 to 40 and λ from 0.01 to 10, with some room:
    three steps of conjugate gradients from the row of the iteration before left at most 0.002 and
    0.013 after 15 iterations, 0.011 and 0.49 after three.
    """
    if not iterative:
        rounding = 1e-4 if dtype == np.float32 else 1e-9
        return rounding, rounding
    leaves = min(max(1e-2, 0.3 / iterations**2), 0.3)
    return leaves, 5 * leaves if iterations >= 10 else min(20 * leaves, 0.8)


def _lingers(iterations: int) -> float:
    """What ``use_native=False`` leaves of the random start in rows without interactions, over the
    usual length.

    With α from 1 to 40 and λ from 1e-4 to 1 at most 1e-9 after 15 iterations and 0.1 after two.
    """
    return 1e-3 if iterations >= 10 else 1.0


def _columns(foreign: Foreign, changed: Changed, side: str) -> Array:
    """The array as the file has it: the embeddings with their constant and bias columns."""
    mine, biases = getattr(changed, f"{side}s"), getattr(changed, f"{side}_biases")
    mine = getattr(foreign, f"{side}s") if mine is None else mine
    biases = getattr(foreign, f"{side}_biases") if biases is None else biases
    if foreign.kind == "als":
        return np.asarray(mine, dtype=foreign.users.dtype)
    one, bias = np.ones(len(mine)), np.zeros(0) if biases is None else biases
    last = {
        ("bpr", "user"): (one,),
        ("bpr", "item"): (bias,),
        ("lmf", "user"): (one, bias),
        ("lmf", "item"): (bias, one),
    }[foreign.kind, side]
    return np.column_stack([mine, *last]).astype(foreign.users.dtype)
