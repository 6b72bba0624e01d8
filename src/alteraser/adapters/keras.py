"""Keras models of two embedding tables: ``.keras``, ``.weights.h5`` and ``.h5`` files, without
Keras or TensorFlow.

    .keras
        a zip archive of config.json, metadata.json and model.weights.h5 (Keras 3, and 2.12 and
        later)
    .weights.h5
        <layer>/vars/<k>, the layer's own name in an attribute of <layer>/vars; optimizer/vars/<k>
    .h5
        Keras 2: [model_weights/]<layer>/<layer>/embeddings:0; optimizer_weights/<optimizer>/…

The tables are the two whose names say user and item; what they minimize has to be said
(``--loss``). Slots of the optimizer are recognized by their names (Keras 2) or shapes (Keras 3) and
begin again in changed rows. A model with more parameters scores by more than p·q and is refused.
SavedModel folders and TensorFlow's checkpoints keep variables in a format of TensorFlow's own, and
are refused by name. The layout is that of Keras 3.15's ``saving_lib.py`` and
``legacy_h5_format.py``; files of it are among the tests.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alteraser.adapters._hdf5 import MAGIC, ZIP, Hdf5, Place, open_hdf5
from alteraser.adapters._pickled import first_bytes
from alteraser.adapters.contract import Array, Changed, Foreign, Holding, Sibling
from alteraser.adapters.losses import named_loss
from alteraser.adapters.mapped import check_finite
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.siblings import neighbors
from alteraser.data.files import check_output
from alteraser.errors import InvalidInput

WEIGHTS = "model.weights.h5"
OPTIMIZERS = ("optimizer", "optimizer_weights")
OURS = ("config.json", "metadata.json")
CONFIGURATION = 16 << 20
"""Most bytes of a config.json that is read."""

BEGIN = {"adagrad": 0.1}
"""What slots begin at, by optimizer, where that is not 0."""

BUNDLE = bytes.fromhex("57fb808b247547db")
"""How the index of TensorFlow's checkpoints ends."""


@dataclass(frozen=True)
class Slot:
    """An array that an optimizer keeps beside a table."""

    place: Place
    sides: tuple[str, ...]
    """Whose rows it has: ``user``, ``item``, both where shapes do not tell; empty where it is
    nobody's."""
    begin: float


@dataclass(frozen=True, eq=False)
class KerasState:
    """What ``write`` needs to find again."""

    file: Hdf5
    names: tuple[str, str]
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Keras:
    """The adapter."""

    name: str = "keras"

    def recognizes(self, path: Path) -> bool:
        """An HDF5 file, an archive with Keras's weights, or what TensorFlow saved."""
        if _of_tensorflow(path):
            return True
        head = first_bytes(path, 8) if path.is_file() else b""
        if head == MAGIC:
            return True
        if head[:4] != ZIP:
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                return {WEIGHTS, "config.json"} <= set(archive.namelist())
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
            return False

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``contract.Adapter.read``. DependencyMissing without h5py."""
        if _of_tensorflow(path):
            raise InvalidInput(
                f"{path} was saved by TensorFlow, whose format for variables is not read here. "
                "Load it there and save "
                'its weights as HDF5 (model.save_weights("m.weights.h5")), or the two tables '
                'alone: numpy.savez("m.npz", user_embeddings=…, item_embeddings=…)',
                path=str(path),
            )
        if not path.is_file():
            raise InvalidInput(
                f"{path} is not a file; name the .keras or .h5 itself", path=str(path)
            )
        file = open_hdf5(path, WEIGHTS)
        labels = _labels(file)
        names = _tables(file, labels, path)
        tables = [file.array(name) for name in names]
        for name, table in zip(names, tables, strict=True):
            check_finite(path, name, table)
        slots = _slots(file, tables[0].shape, tables[1].shape)
        return Foreign(
            path=path,
            format=self.name,
            kind=options.loss or "",
            users=tables[0],
            items=tables[1],
            loss=named_loss(path, options, tables[0].shape[1]),
            library=_library(file),
            hyperparameters={
                name: value
                for name in ("alpha", "regularization", "missing_weight")
                if (value := getattr(options, name)) is not None
            },
            holds=_holds(file, slots),
            state=KerasState(file, names, slots),
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """See ``contract.Adapter.write``."""
        check_output(out)
        state: KerasState = foreign.state
        new = dict(zip(state.names, (changed.users, changed.items), strict=True))
        arrays = {name: table for name, table in new.items() if table is not None}
        state.file.write(arrays | _begun_again(state, changed), out)

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """See ``contract.Adapter.siblings``."""
        return neighbors(path)


def _of_tensorflow(path: Path) -> bool:
    """A SavedModel, its folder of variables, or a checkpoint."""
    try:
        if path.is_dir():
            return (path / "saved_model.pb").is_file() or (path / "variables.index").is_file()
        if path.suffix != ".index" or not path.is_file() or path.stat().st_size < len(BUNDLE):
            return False
        with open(path, "rb") as file:
            file.seek(-len(BUNDLE), 2)
            return file.read() == BUNDLE
    except OSError:
        return False


def _library(file: Hdf5) -> str:
    for group in ("", "model_weights"):
        version = file.attributes.get(group, {}).get("keras_version")
        if version:
            return f"Keras {version}"
    return "Keras"


# ---------------------------------------------------------------- which array is what


def _labels(file: Hdf5) -> dict[str, str]:
    """What the parameters are called, by their path: the path, and the layer's own name where the
    file has it.
    """
    configured = _configured(file)
    found = {}
    for name, place in file.places.items():
        group = name.rpartition("/")[0]
        own = file.attributes.get(group, {}).get("name") or configured.get(
            group.removesuffix("/vars"), ""
        )
        parameter = (
            name.split("/")[0] not in (*OPTIMIZERS, "metrics")
            and place.shape
            and place.dtype.kind == "f"
        )
        if parameter and place.dtype.itemsize:
            found[name] = f"{name} {own}".strip()
    return found


def _configured(file: Hdf5) -> dict[str, str]:
    """The names of layers by their place, ``layers/<class>[_<k>]``, which a functional model's
    configuration tells.
    """
    if "config.json" not in file.others:
        return {}
    with zipfile.ZipFile(file.path) as archive:
        if archive.getinfo("config.json").file_size > CONFIGURATION:
            return {}
        try:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            counted: dict[str, int] = {}
            found = {}
            for layer in layers:
                kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(layer["class_name"])).lower()
                number = counted.get(kind, 0)
                counted[kind] = number + 1
                name = str(layer["config"]["name"])
                for container in ("layers", "_layer_checkpoint_dependencies"):
                    found[f"{container}/{kind}" + (f"_{number}" if number else "")] = name
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, RecursionError):
            return {}  # a model of the user's own class: its names are in the paths
    return found


def _tables(file: Hdf5, labels: Mapping[str, str], path: Path) -> tuple[str, str]:
    """Paths of the users' and the items' table. Raises InvalidInput unless there are these two and
    nothing else.
    """
    listed = (
        ", ".join(f"{label} {file.places[name].shape}" for name, label in labels.items())
        or "no parameters"
    )
    found = []
    for side in ("user", "item"):
        names = [
            name
            for name, label in labels.items()
            if side in label.lower()
            and len(file.places[name].shape) == 2
            and file.places[name].dtype in (np.dtype("<f4"), np.dtype("<f8"))
        ]
        if len(names) != 1:
            raise InvalidInput(
                f"{path} holds {listed}: expected one table of floats with {side!r} in its "
                f"layer's name, not {len(names)}. Where names do not say it, save the two tables "
                "as .npz or .safetensors",
                path=str(path),
            )
        found.append(names[0])
    user, item = (file.places[name] for name in found)
    if found[0] == found[1] or len(labels) > 2 or user.shape[1] != item.shape[1]:
        raise InvalidInput(
            f"{path} holds {listed}: a model of more than two tables of the same width scores by "
            "more than p·q, and is not forgotten in here",
            path=str(path),
        )
    if user.dtype != item.dtype:
        raise InvalidInput(
            f"{path} holds {listed} of different types; save both in the same", path=str(path)
        )
    return found[0], found[1]


# ---------------------------------------------------------------- what the optimizer keeps


def _slots(file: Hdf5, users: tuple[int, ...], items: tuple[int, ...]) -> tuple[Slot, ...]:
    found = []
    for name, place in file.places.items():
        root, _, rest = name.partition("/")
        if root not in OPTIMIZERS or not place.shape or place.dtype.kind != "f":
            continue
        by_name = tuple(side for side in ("user", "item") if side in rest.lower())
        by_rows = tuple(
            side
            for side, shape in (("user", users), ("item", items))
            if place.shape in (shape, shape[:1])
        )
        sides = by_name if len(by_name) == 1 and by_name[0] in by_rows else by_rows
        kind = str(file.attributes.get(f"{root}/vars", {}).get("name") or rest).lower()
        begin = next((value for optimizer, value in BEGIN.items() if optimizer in kind), 0.0)
        found.append(Slot(place, sides, begin))
    return tuple(found)


def _begun_again(state: KerasState, changed: Changed) -> dict[str, Array]:
    """The slots with their beginning in changed rows; of slots that are nobody's, everything."""
    rows = {"user": np.union1d(changed.user_rows, changed.erased_users), "item": changed.item_rows}
    found: dict[str, Array] = {}
    for slot in state.slots:
        values = np.array(state.file.array(slot.place.name))
        if slot.sides:
            places = np.unique(np.concatenate([rows[side] for side in slot.sides])).astype(np.int64)
            if places.size:
                values[places] = slot.begin
                found[slot.place.name] = values
        elif not changed.nothing:
            found[slot.place.name] = np.full_like(values, slot.begin)
    return found


def _holds(file: Hdf5, slots: tuple[Slot, ...]) -> tuple[Holding, ...]:
    found = []
    if slots:
        what = "running averages of the gradients of every row, which follow its interactions"
        found.append(Holding("optimizer", what, "set to their beginning in the changed rows"))
    for name in file.others:
        if name not in OURS:
            found.append(
                Holding(
                    name,
                    "an asset, such as a vocabulary with the ids of all users",
                    "left as it is: put something that is no id in the place of an erased one",
                )
            )
    return tuple(found)


ADAPTER = Keras()
