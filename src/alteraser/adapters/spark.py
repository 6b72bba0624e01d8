"""Spark MLlib: ``ALSModel`` folders, alone or as a stage of a ``PipelineModel``, without Spark and
without a JVM.

A bare model knows its users by integers, and a user it has no row for is unknown to it: Spark then
answers NaN or drops the row (``coldStartStrategy``). So a user erased whole loses the row. In a
pipeline StringIndexer stages turn names into those integers, most frequent name first; that order
is a function of the data as they were, and fitting it again would hand everybody another user's
row. Its labels stay where they are, and an erased user's is replaced by one that nobody has.

Files in which nothing changed are copied byte for byte; of a rewritten one the stale checksum is
left out.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alteraser.adapters import _spark_folder as folder
from alteraser.adapters.contract import CONTAINER, Changed, Foreign, Holding, Sibling, settled
from alteraser.adapters.options import ForeignOptions
from alteraser.adapters.spark_loss import spark_als
from alteraser.data.ids import IdMap
from alteraser.errors import AltEraserError, IntegrityError, InvalidInput

Array = npt.NDArray[Any]

_ML = "org.apache.spark.ml."
ALS_MODEL, PIPELINE, INDEXER = (
    f"{_ML}{name}"
    for name in ("recommendation.ALSModel", "PipelineModel", "feature.StringIndexerModel")
)
_RDD_MODEL = "org.apache.spark.mllib.recommendation.MatrixFactorizationModel"
_SEARCHES = tuple(
    f"{_ML}tuning.{name}" for name in ("CrossValidatorModel", "TrainValidationSplitModel")
)
_UNFITTED = (f"{_ML}recommendation.ALS", f"{_ML}Pipeline")
_OURS = (ALS_MODEL, PIPELINE, _RDD_MODEL, *_SEARCHES, *_UNFITTED)

NEARBY = 200  # entries of the parent folder that are looked at


@dataclass(frozen=True)
class Labels:
    """Where a side's names are: a StringIndexer's folder and which of its columns."""

    folder: Path
    column: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class SparkSide:
    """One side of the model: its parts, the id of each row of ``Foreign``, and its labels where a
    pipeline has them.
    """

    table: folder.FactorTable
    ids: npt.NDArray[np.int64]
    """(rows,) Spark's number of each row."""
    present: npt.NDArray[np.bool_]
    """(rows,) which of them the model has factors for."""
    labels: Labels | None


@dataclass(frozen=True)
class SparkState:
    """What ``write`` needs again."""

    users: SparkSide
    items: SparkSide


@dataclass(frozen=True)
class SparkAdapter:
    """See the module."""

    name: str = "spark"

    def recognizes(self, path: Path) -> bool:
        """A folder with one line of metadata whose class is Spark's ALSModel, or something that
        holds one.
        """
        try:
            if not path.is_dir():
                return False
            if (path / "metadata").is_file():  # local saving mode: ours to refuse
                return _names_us(path / "metadata")
            document = folder.metadata(path)
            if document["class"] != PIPELINE:
                return document["class"] in _OURS
            return any(document["class"] == ALS_MODEL for _, document in _stages(path, document))
        except (AltEraserError, OSError):
            return False

    def read(self, path: Path, options: ForeignOptions) -> Foreign:
        """See ``Adapter.read``. Needs ``regularization`` and ``implicit``, and ``alpha`` for
        implicit feedback.
        """
        stages = _opened(path)
        (model, document), indexers = stages
        version = document.get("sparkVersion")
        version = version if isinstance(version, str) else None
        rank = document.get("rank")
        if not isinstance(rank, int) or not 0 < rank < 100_000:
            raise IntegrityError(f"{model}/metadata says rank {rank!r}; restore it", path=str(path))
        users, items = (
            _side(
                model,
                name,
                folder.read_table(model / f"{name}Factors", rank, version),
                document,
                indexers,
            )
            for name in ("user", "item")
        )
        P, Q = (_rows(side, rank) for side in (users, items))
        _refuse_nonnegative(path, P, Q)
        hyperparameters = _hyperparameters(path, document, options)
        return Foreign(
            path=path,
            format=self.name,
            kind="als",
            users=P,
            items=Q,
            loss=spark_als(
                hyperparameters["regParam"],
                hyperparameters.get("alpha") if hyperparameters["implicitPrefs"] else None,
            ),
            library=f"Spark {version}" if version else "Spark",
            hyperparameters=hyperparameters,
            user_ids=_ids(users),
            item_ids=_ids(items),
            ids_from=CONTAINER,
            holds=_holdings(users),
            state=SparkState(users, items),
        )

    def write(self, foreign: Foreign, changed: Changed, out: Path) -> None:
        """See ``Adapter.write``: parts with a changed row are written again, everything else is
        copied.
        """
        from alteraser.data.files import atomic_directory

        source, state = foreign.path.resolve(), foreign.state
        if out.resolve().is_relative_to(source):
            raise InvalidInput(
                f"{out} is inside of {foreign.path}, which is not written to. Choose another "
                "output."
            )
        rewritten = _rewrites(state.users, changed.users, changed.user_rows, changed.erased_users)
        rewritten |= _rewrites(state.items, changed.items, changed.item_rows, _emptied(changed))
        tombs = _tombstones(state.users, changed.erased_users)
        files = [path for path in sorted(foreign.path.rglob("*")) if not path.is_dir()]
        with atomic_directory(out) as target:
            for path in files:
                copy = target / path.relative_to(foreign.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if path in rewritten:
                    folder.rewrite(rewritten[path].part, copy, *rewritten[path].what)
                elif path in tombs:
                    folder.rewrite_labels(path, copy, state.users.labels.column, tombs[path])
                elif not _checksum_of(path, {*rewritten, *tombs}):
                    shutil.copyfile(path, copy)

    def siblings(self, path: Path) -> tuple[Sibling, ...]:
        """Other models of this kind, and Parquet folders, beside this one."""
        found = []
        path = path if path.name else path.resolve()
        try:
            entries = sorted(path.parent.iterdir())[:NEARBY]
        except OSError:
            return ()
        for entry in entries:
            if entry.name == path.name or entry.name.startswith((".", "_")) or not entry.is_dir():
                continue
            if self.recognizes(entry):
                advice = "Forget in it as well, or delete it once nothing serves it."
                found.append(
                    Sibling(
                        entry, "another Spark model, perhaps an older version of this one", advice
                    )
                )
            elif any(entry.glob("part-*.parquet")):
                advice = (
                    "If these are interactions, remove the rows where they are kept, or "
                    "write them with --remaining."
                )
                found.append(Sibling(entry, "a Parquet folder, perhaps the interactions", advice))
        return tuple(found)


# ---------------------------------------------------------------- reading


Stage = tuple[Path, dict[str, Any]]


def _names_us(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(1000)
    return any(f'"class":"{name}"'.encode() in start for name in _OURS)


def _opened(path: Path) -> tuple[Stage, list[Stage]]:
    """The ALS stage and the StringIndexers before it."""
    document = folder.metadata(path)
    kind = document["class"]
    if kind == ALS_MODEL:
        return (path, document), []
    if kind == PIPELINE:
        stages = _stages(path, document)
        models = [stage for stage in stages if stage[1]["class"] == ALS_MODEL]
        if len(models) != 1:
            raise InvalidInput(
                f"{path} is a pipeline with {len(models)} ALSModel stages, expected one",
                path=str(path),
            )
        return models[0], [stage for stage in stages if stage[1]["class"] == INDEXER]
    if kind in _SEARCHES:
        what = (
            f"the result of a search over models: name {path / 'bestModel'}, which holds the "
            "best one"
        )
    elif kind in _UNFITTED:
        what = (
            "an estimator that was not fitted: name the folder of the model that its fit returned"
        )
    elif kind == _RDD_MODEL:
        what = (
            "a model of the older RDD API (mllib), which is not read: train with "
            "pyspark.ml.recommendation.ALS"
        )
    else:
        what = f"a {kind.rsplit('.', 1)[-1]}, not an ALSModel"
    raise InvalidInput(f"{path} is {what}", path=str(path))


def _stages(path: Path, document: dict[str, Any]) -> list[Stage]:
    """The stages of a pipeline with their metadata, in order; those of pipelines inside it as
    well.
    """
    uids = folder.parameter(document, "stageUids")
    if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
        raise IntegrityError(f"{path}/metadata names no stages; restore it", path=str(path))
    found: list[Stage] = []
    for place, uid in enumerate(uids):
        stage = path / "stages" / f"{place:0{len(str(len(uids)))}d}_{uid}"
        if stage.parent != path / "stages" or not stage.is_dir():
            raise IntegrityError(f"{stage} is missing; restore it", path=str(path))
        inner = folder.metadata(stage)
        found += _stages(stage, inner) if inner["class"] == PIPELINE else [(stage, inner)]
    return found


def _side(
    model: Path,
    name: str,
    table: folder.FactorTable,
    document: dict[str, Any],
    indexers: list[Stage],
) -> SparkSide:
    column = folder.parameter(document, f"{name}Col")
    labels = next(
        (found for stage in indexers if (found := _labels_of(stage, column)) is not None), None
    )
    if table.ids.size and table.ids[0] < 0 and labels is not None:
        raise IntegrityError(
            f"{model}/{name}Factors has the id {int(table.ids[0])}, which is no label's index"
        )
    if labels is None:
        return SparkSide(table, table.ids, np.ones(table.ids.size, bool), None)
    size = max(len(labels.names), int(table.ids[-1]) + 1 if table.ids.size else 0)
    present = np.zeros(size, bool)
    present[table.ids] = True
    return SparkSide(table, np.arange(size, dtype=np.int64), present, labels)


def _labels_of(stage: Stage, column: Any) -> Labels | None:
    """The labels that this StringIndexer turns into ``column``; None if it makes another one."""
    path, document = stage
    outputs = folder.parameter(document, "outputCols") or [folder.parameter(document, "outputCol")]
    if column not in outputs:
        return None
    lists = folder.labels(path)
    if len(lists) != len(outputs):
        raise IntegrityError(
            f"{path} has labels for {len(lists)} columns and makes {len(outputs)}; restore it"
        )
    at = outputs.index(column)
    return Labels(path, at, tuple(lists[at]))


def _rows(side: SparkSide, rank: int) -> Array:
    if side.present.all():
        return side.table.factors
    rows = np.zeros((side.ids.size, rank), np.float32)
    rows[side.present] = side.table.factors
    return rows


def _ids(side: SparkSide) -> IdMap:
    import pyarrow as pa

    if side.labels is None:
        return IdMap(
            pa.array(side.ids, pa.int64()), np.arange(side.ids.size, dtype=np.int64), side.ids.size
        )
    named = [
        row
        for row, name in enumerate(side.labels.names)
        if side.present[row] and name != _tombstone(row)
    ]
    names = pa.array([side.labels.names[row] for row in named], pa.string())
    return IdMap(names, np.array(named, np.int64), side.ids.size)


def _hyperparameters(
    path: Path, document: dict[str, Any], options: ForeignOptions
) -> dict[str, Any]:
    for option, value in (("--loss", options.loss), ("--missing-weight", options.missing_weight)):
        if value is not None:
            raise InvalidInput(
                f"{option} means nothing to a Spark ALSModel; leave it out", path=str(path)
            )
    implicit = settled("implicitPrefs", "--implicit or --explicit", None, options.implicit, path)
    if not implicit and options.alpha is not None:
        raise InvalidInput(
            f"--alpha {options.alpha:g} means nothing with --explicit; leave one of them out"
        )
    names = ("userCol", "itemCol", "blockSize", "coldStartStrategy")
    found = {name: folder.parameter(document, name) for name in names}
    ridge = settled("regParam", "--regularization", None, options.regularization, path)
    supplied = {"regParam": ridge, "implicitPrefs": implicit}
    if implicit:
        supplied["alpha"] = settled("alpha", "--alpha", None, options.alpha, path)
    return {
        "rank": document["rank"],
        **{k: v for k, v in found.items() if v is not None},
        **supplied,
    }


def _refuse_nonnegative(path: Path, P: Array, Q: Array) -> None:
    """With ``nonnegative=True`` Spark solves other row problems; factors without a single negative
    number tell.
    """
    if P.shape[1] > 1 and P.size and Q.size and P.min() >= 0 and Q.min() >= 0:
        raise InvalidInput(
            f"{path} has no negative factor: it was trained with nonnegative=True, whose rows are "
            "non-negative least squares, and these are not solved here. Train it without, or "
            "retrain on the remaining data",
            path=str(path),
        )


def _holdings(users: SparkSide) -> tuple[Holding, ...]:
    if users.labels is None:
        return ()
    return (
        Holding(
            f"{users.labels.folder.name}/data",
            "names of users, in the order of how many rows they had when it was fitted",
            "the name of an erased user is replaced, the order stays: fitting it again would "
            "permute all users",
        ),
    )


# ---------------------------------------------------------------- writing


@dataclass(frozen=True)
class Rewrite:
    """A part and what ``rewrite`` is to do with it: ids that go, ids that change, their factors."""

    part: folder.FactorPart
    what: tuple[Array, Array, Array]


def _rewrites(
    side: SparkSide, rows: Array | None, changed: Array, gone_rows: Array
) -> dict[Path, Rewrite]:
    """The parts of ``side`` that hold a changed row or one that goes."""
    if rows is None:
        return {}
    gone_rows = gone_rows[side.present[gone_rows]]
    kept_rows = np.setdiff1d(changed[side.present[changed]], gone_rows)
    gone, kept = side.ids[gone_rows], side.ids[kept_rows]
    factors = np.asarray(rows[kept_rows], np.float32)
    touched = np.union1d(gone, kept)
    return {
        part.path: Rewrite(part, (gone, kept, factors))
        for part in side.table.parts
        if np.isin(part.ids, touched).any()
    }


def _emptied(changed: Changed) -> Array:
    """Changed items whose row is zero now: none of their interactions remains, or none that is a
    positive.

    A user of whom only rows with r ≤ 0 remain has a zero row as well, and keeps it, as Spark's own
    training would have it. An item's would be recommended before all that score below 0.
    """
    if changed.items is None:
        return np.empty(0, np.int64)
    return np.asarray(changed.item_rows[~np.any(changed.items[changed.item_rows], axis=1)])


def _tombstone(index: int) -> str:
    return f"__erased_{index}__"


def _tombstones(side: SparkSide, erased: Array) -> dict[Path, list[tuple[int, str]]]:
    if side.labels is None or not erased.size:
        return {}
    indices = [int(side.ids[row]) for row in erased if side.ids[row] < len(side.labels.names)]
    return {
        folder.parts(side.labels.folder / "data")[0]: [
            (index, _tombstone(index)) for index in indices
        ]
    }


def _checksum_of(path: Path, rewritten: set[Path]) -> bool:
    return (
        path.name.startswith(".")
        and path.suffix == ".crc"
        and path.with_name(path.name[1:-4]) in rewritten
    )


ADAPTER = SparkAdapter()
