"""RecBole's checkpoints of models that are a table (``saved/<Model>-<time>.pth``), without RecBole,
without PyTorch, their pickle not run.

What such a model learned is in ``other_parameter``, its settings in the configuration beside it;
neither says an id. Facts of RecBole 1.2.1.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alteraser.adapters._pickle import PickleLimits, protocol_of
from alteraser.adapters._pickled import NUMPY
from alteraser.adapters._pickling import dump
from alteraser.adapters._recbole_ids import maps, recbole_class
from alteraser.adapters._torch_zip import DESCRIPTION, TENSORS, TorchArchive, looks_like
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.tables._sparse import FORMS
from alteraser.data.files import atomic_write
from alteraser.data.ids import IdMap
from alteraser.errors import IntegrityError, InvalidInput

NAMES = TENSORS | NUMPY | FORMS | {("yaml.loader", "FullLoader"), ("numpy", "matrix")}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint, of which ``tree`` gives what was saved."""

    archive: TorchArchive
    config: Mapping[str, Any]
    limits: PickleLimits = DESCRIPTION

    @classmethod
    def read(
        cls, path: Path, model: str, wanted: set[str], limits: PickleLimits = DESCRIPTION
    ) -> tuple[Checkpoint, dict[str, Any]]:
        """The checkpoint, and its ``other_parameter``, which has what is ``wanted``.

        Raises IntegrityError for another file.
        """
        archive = TorchArchive(path)
        tree = archive.description(allowed, limits)
        saved = tree if isinstance(tree, dict) else {}
        config = getattr(saved.get("config"), "attributes", {}).get("final_config_dict")
        other = saved.get("other_parameter")
        if (
            not isinstance(config, dict)
            or not isinstance(other, dict)
            or not wanted <= other.keys()
        ):
            raise IntegrityError(
                f"{path} is no checkpoint of RecBole's {model}: it lacks "
                f"{' and '.join(sorted(wanted))}",
                path=str(path),
            )
        return cls(archive, config, limits), other

    def tree(self) -> Any:
        """What was saved, a copy of one's own to change."""
        return self.archive.description(allowed, self.limits)

    def ids(self, options: ForeignOptions, sizes: tuple[int | None, int]) -> tuple[IdMap, IdMap]:
        """Maps of users and items, from ``--users-map`` or ``--items-map``: the ``.inter`` file or
        RecBole's data set.

        Raises InvalidInput where neither was given, and as ``_recbole_ids.maps``.
        """
        source = options.users_map or options.items_map
        if source is None:
            raise InvalidInput(
                f"{self.archive.path} has no ids: give the .inter file as trained on, or the data "
                "set that RecBole saved, as --users-map",
                path=str(self.archive.path),
            )
        return maps(source, self.config, sizes)

    def write(self, tree: Any, out: Path) -> None:
        """``tree`` in place of what was saved; every other member stays byte for byte."""
        protocol = protocol_of(self.archive.content("data.pkl")) or 4
        with (
            zipfile.ZipFile(self.archive.path) as old,
            atomic_write(out) as file,
            zipfile.ZipFile(file, "w") as new,
        ):
            for info in old.infolist():
                described = info.filename == f"{self.archive.root}/data.pkl"
                new.writestr(info.filename, dump(tree, protocol) if described else old.read(info))


def allowed(module: str, name: str) -> bool:
    """What such a checkpoint may name."""
    return (module, name) in NAMES or recbole_class(module, name)


def names_model(path: Path, *words: bytes) -> bool:
    """A checkpoint of RecBole's whose beginning has these words. Never raises."""
    head = looks_like(path)
    return b"recbole.config.configurator" in head and all(word in head for word in words)
