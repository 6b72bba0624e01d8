"""RecBole checkpoints (``saved/<Model>-<time>.pth``), without RecBole, without PyTorch, without
running their pickle.

A checkpoint is a file of ``torch.save`` whose pickle holds the configuration, the tensors' places
and the optimizer. PyTorch's own safe loader cannot read it (protocol 4, foreign classes), so
opening one in the usual way runs whatever is in it. Here the pickle is data, and stays byte for
byte as it was; only the bytes of changed tensors are exchanged.

Row i here is row i + 1 of the tables there: row 0 is [PAD], which nothing changes. Adam's moments
of changed rows are set to zero, and the embeddings that LightGCN keeps from its last evaluation are
replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters._pickle import Call
from alteraser.adapters._pickled import NUMPY
from alteraser.adapters._recbole_ids import is_dump, maps, recbole_class
from alteraser.adapters._torch_state import Moment, moments_of, scrubbed, tensors_of
from alteraser.adapters._torch_zip import TENSORS, Tensor, TorchArchive, is_tensor, looks_like
from alteraser.adapters.contract import Changed, Foreign, ForeignLoss, Holding, Sibling
from alteraser.adapters.options import ForeignOptions
from alteraser.data.files import check_output
from alteraser.errors import IntegrityError, InvalidInput, NumericFailure

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CheckpointLayout:
    """Where a model keeps its tables; several of one side stand side by side."""

    users: tuple[str, ...]
    items: tuple[str, ...]
    further: str = ""
    """Names of other parameters begin so, separated by blanks."""
    settings: tuple[str, ...] = ()


PLAIN = (("user_embedding.weight",), ("item_embedding.weight",))
MF = (("user_mf_embedding.weight",), ("item_mf_embedding.weight",))
MLP = (("user_mlp_embedding.weight",), ("item_mlp_embedding.weight",))
NCF = ("mf_train", "mlp_train", "mlp_hidden_size", "dropout_prob")

LAYOUTS = {
    "enmf": CheckpointLayout(*PLAIN, "H_i.", ("negative_weight", "dropout_prob", "reg_weight")),
    "bpr": CheckpointLayout(*PLAIN),
    "lightgcn": CheckpointLayout(*PLAIN, settings=("n_layers", "reg_weight", "require_pow")),
    "neumf": CheckpointLayout(MF[0] + MLP[0], MF[1] + MLP[1], "mlp_layers. predict_layer.", NCF),
    "gmf": CheckpointLayout(*MF, "predict_layer.", NCF),
    "mlp": CheckpointLayout(*MLP, "mlp_layers. predict_layer.", NCF),
}
"""By kind; NeuMF trained with one of its halves alone is GMF or MLP (X. He et al., WWW 2017)."""

EVERYWHERE = (
    "embedding_size",
    "learner",
    "learning_rate",
    "weight_decay",
    "train_batch_size",
    "seed",
    "epochs",
)

PROPAGATED = ("restore_user_e", "restore_item_e")


@dataclass(frozen=True, eq=False)
class RecboleState:
    """What ``write`` needs to find again."""

    archive: TorchArchive
    tables: tuple[tuple[tuple[Tensor, int], ...], ...]
    """For users and items: (tensor, columns) side by side."""
    further: Mapping[str, Tensor]
    moments: tuple[Moment, ...]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class RecBole:
    """The adapter."""

    name: str = "recbole"

    def recognizes(self, path: Path) -> bool:
        """A file of torch.save whose pickle begins with RecBole's configuration."""
        return b"recbole.config.configurator" in looks_like(path)

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``contract.Adapter.read``. Ids come from ``--users-map``: the ``.inter`` file or
        RecBole's data set.
        """
        archive = TorchArchive(path)
        tree = archive.description(_allowed)
        if not isinstance(tree, dict) or not isinstance(tree.get("config"), Call):
            raise InvalidInput(
                f"{path} is a file of torch.save, but not a RecBole checkpoint", path=str(path)
            )
        config = _config(tree["config"], path)
        kind, layout = _kind(config, path)
        tensors = tensors_of(archive, tree.get("state_dict"), path)
        users, items = (
            _side(archive, tensors, names, path) for names in (layout.users, layout.items)
        )
        prefixes = tuple(layout.further.split())
        named = {
            name: tensor
            for name, tensor in tensors.items()
            if prefixes and name.startswith(prefixes)
        }
        named |= _propagated(archive, tree)
        further = {name: archive.array(tensor) for name, tensor in named.items()}
        pads, tables = tuple(table[0] for table in (users, items)), (users[1:], items[1:])
        for side, table in zip(("user", "item"), tables, strict=True):
            if not np.isfinite(table).all():
                row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
                raise NumericFailure(
                    f"{path}: {side} row {row} is not finite; the model is damaged, restore it"
                )
        settings = _settings(config, layout, options, path)
        sizes = (tables[0].shape[0], tables[1].shape[0])
        user_ids = item_ids = None
        source = _source(options, path)
        if source is not None:
            user_ids, item_ids = maps(source, config, sizes)
        moments = moments_of(archive, tree.get("optimizer"), tensors, layout.users, layout.items)
        places = tuple(
            tuple((tensors[name], tensors[name].shape[1]) for name in names)
            for names in (layout.users, layout.items)
        )
        return Foreign(
            path=path,
            format=self.name,
            kind=kind,
            users=tables[0],
            items=tables[1],
            loss=_loss(kind, settings, users.shape[0], further, pads, path, tree.get("epoch")),
            library="RecBole",
            further=further,
            hyperparameters=settings,
            user_ids=user_ids,
            item_ids=item_ids,
            ids_from=str(source) if source is not None else None,
            holds=_holds(moments, named),
            state=RecboleState(archive, places, named, moments, config),
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """See ``contract.Adapter.write``."""
        check_output(out)
        state: RecboleState = foreign.state
        changes: dict[Tensor, Array] = {}
        for places, new in zip(state.tables, (changed.users, changed.items), strict=True):
            if new is None:
                continue
            start = 0
            for tensor, columns in places:
                table = np.array(state.archive.array(tensor))
                table[1:] = new[:, start : start + columns]
                changes[tensor], start = table, start + columns
        stale = [
            name for name in PROPAGATED if name in state.further and name not in changed.further
        ]
        if stale and (changed.users is not None or changed.items is not None):
            raise InvalidInput(
                f"{foreign.path} keeps propagated embeddings ({', '.join(stale)}) of its last "
                "evaluation, which RecBole would go on serving; they have to be changed along",
                path=str(foreign.path),
            )
        for name, value in changed.further.items():
            if name not in state.further:
                raise InvalidInput(
                    f"{foreign.path} has no parameter {name!r}", path=str(foreign.path)
                )
            changes[state.further[name]] = value
        state.archive.write(out, changes | scrubbed(state.archive, state.moments, changed, first=1))

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """Data set and loader dumps, ``.inter`` files and other checkpoints in the same folder, and
        RecBole's logs.
        """
        from alteraser.adapters._recbole_scrub import scrub_dataset, scrub_inter

        found = []
        for each in sorted(path.parent.iterdir()):
            if each == path or not each.is_file():
                continue
            if each.suffix == ".inter":
                what = "the interactions themselves"
                found.append(Sibling(each, what, scrub=partial(scrub_inter, each)))
            elif is_dump(each):
                what = "a data set that RecBole saved: every interaction, and the ids"
                found.append(Sibling(each, what, scrub=partial(scrub_dataset, each)))
            elif each.name.endswith("-dataloader.pth"):
                what = "data loaders that RecBole saved: every interaction, three times over"
                found.append(
                    Sibling(
                        each,
                        what,
                        "Delete it: RecBole makes it again from the remaining interactions.",
                    )
                )
            elif self.recognizes(each):
                found.append(Sibling(each, "another checkpoint", "Forget in it too, or delete it."))
        for folder in (
            path.parent / "log",
            path.parent.parent / "log",
            path.parent.parent / "log_tensorboard",
        ):
            if folder.is_dir():
                what = "RecBole's logs: settings, losses and metrics, no interactions"
                found.append(Sibling(folder, what, "Keep or delete it."))
        return tuple(found)


def _allowed(module: str, name: str) -> bool:
    known = TENSORS | NUMPY | {("yaml.loader", "FullLoader")}
    return (module, name) in known or recbole_class(module, name)


def _config(config: Call, path: Path) -> dict[str, Any]:
    settings = config.attributes.get("final_config_dict")
    if not isinstance(settings, dict):
        raise IntegrityError(f"{path}: its configuration has no final_config_dict", path=str(path))
    return settings


def _kind(config: Mapping[str, Any], path: Path) -> tuple[str, CheckpointLayout]:
    model = config.get("model")
    kind = str(model).lower()
    if kind == "neumf":
        halves = (bool(config.get("mf_train", True)), bool(config.get("mlp_train", True)))
        kind = {(True, True): "neumf", (True, False): "gmf", (False, True): "mlp"}.get(
            halves, "neumf"
        )
    if kind not in LAYOUTS:
        raise InvalidInput(
            f"{path} is a checkpoint of RecBole's {model}; known here are ENMF, BPR, LightGCN and "
            "NeuMF (with its GMF and MLP halves). Other models that score by two embeddings: see "
            "alteraser.autograd.forget_module",
            path=str(path),
        )
    return kind, LAYOUTS[kind]


def _side(
    archive: TorchArchive, tensors: Mapping[str, Tensor], names: tuple[str, ...], path: Path
) -> Array:
    """The tables called ``names``, side by side; a view of the file where it is one table."""
    for name in names:
        if name not in tensors:
            raise IntegrityError(
                f"{path} has no {name}; it has {', '.join(tensors)}", path=str(path)
            )
    shapes = {name: tensors[name].shape for name in names}
    if not all(len(shape) == 2 and shape[0] > 1 for shape in shapes.values()) or (
        len({shape[0] for shape in shapes.values()}) != 1
    ):
        raise IntegrityError(f"{path}: {shapes} are not tables of the same rows", path=str(path))
    parts = [archive.array(tensors[name]) for name in names]
    if len(parts) == 1:
        return parts[0]
    whole = np.concatenate(parts, axis=1)
    whole.flags.writeable = False
    return whole


def _propagated(archive: TorchArchive, tree: Mapping[str, Any]) -> dict[str, Tensor]:
    other = tree.get("other_parameter")
    other = other if isinstance(other, dict) else {}
    return {
        name: archive.located(other[name], name)
        for name in PROPAGATED
        if is_tensor(other.get(name))
    }


def _settings(
    config: Mapping[str, Any], layout: CheckpointLayout, options: ForeignOptions, path: Path
) -> dict[str, Any]:
    names = (*EVERYWHERE, *layout.settings)
    settings = {
        name: config[name]
        for name in names
        if isinstance(config.get(name), str | int | float | list)
    }
    sampling = config.get("train_neg_sample_args")
    if isinstance(sampling, dict):
        settings |= {
            f"negatives_{k}": sampling[k] for k in ("distribution", "sample_num") if k in sampling
        }
    for option, asked in (("--alpha", options.alpha), ("--loss", options.loss)):
        if asked is not None:
            raise InvalidInput(
                f"{option} {asked}: {path} says everything about its loss; leave it out",
                path=str(path),
            )
    found = settings.get("negative_weight")
    if options.missing_weight is not None and options.missing_weight != found:
        raise InvalidInput(
            f"--missing-weight {options.missing_weight} contradicts {path}, which says "
            f"negative_weight = {found}; leave the option out",
            path=str(path),
        )
    if options.regularization is not None:
        decay = settings.get("weight_decay") or 0.0
        if decay and decay != options.regularization:
            raise InvalidInput(
                f"--regularization {options.regularization} contradicts {path}, which says "
                f"weight_decay = {decay}; leave the option out",
                path=str(path),
            )
        settings["weight_decay"] = options.regularization
    if options.implicit is False:
        raise InvalidInput(
            f"--explicit contradicts {path}: RecBole's general models are implicit", path=str(path)
        )
    return settings


def _source(options: ForeignOptions, path: Path) -> Path | None:
    """The file that both maps come from, where it is one that RecBole made."""
    given = [each for each in (options.users_map, options.items_map) if each is not None]
    ours = [each for each in given if each.suffix == ".inter" or is_dump(each)]
    if not ours:
        return None
    if len(set(given)) > 1:
        raise InvalidInput(
            f"{path}: --users-map and --items-map name two files; RecBole's is one for both"
        )
    return ours[0]


def _holds(moments: tuple[Moment, ...], further: Mapping[str, Tensor]) -> tuple[Holding, ...]:
    found = []
    if moments:
        found.append(
            Holding(
                "optimizer.state",
                "running averages of the gradients of every row, which follow its interactions",
                "set to zero in the changed rows",
            )
        )
    if any(name in further for name in PROPAGATED):
        found.append(
            Holding(
                "other_parameter",
                "embeddings propagated over the graph of all interactions, as last evaluated",
                "computed again on the remaining graph",
            )
        )
    return tuple(found)


def _loss(
    kind: str,
    settings: Mapping[str, Any],
    users: int,
    further: Mapping[str, Array],
    pads: tuple[Array, ...],
    path: Path,
    epoch: Any,
) -> ForeignLoss:
    """``epoch``: the last one, from 0 on."""
    decay = float(settings.get("weight_decay") or 0.0)
    if kind == "enmf":
        from alteraser.adapters._recbole_enmf import enmf

        return enmf(settings, users, further, pads, path)
    if kind == "bpr":
        from alteraser.adapters.claims import AdamSteps
        from alteraser.adapters.row_losses import recbole_bpr

        known = settings.get("learner") == "adam" and isinstance(epoch, int)
        rate = float(settings.get("learning_rate") or 0.0) if known else 0.0
        batch = max(1, int(settings.get("train_batch_size") or 1))
        return recbole_bpr(decay, AdamSteps(rate, batch, epoch + 1 if known else 0, decay))
    from alteraser.adapters._recbole_neural import neural

    return neural(kind, settings, decay)


ADAPTER = RecBole()
