"""Files beside a model that may still hold what was erased."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from alteraser.adapters.contract import Sibling
from alteraser.data.files import LEFT_BEHIND

LISTED = 200
"""Entries of a folder that are looked at."""

SUFFIXES = {
    ".parquet": "a table, perhaps the interactions",
    ".csv": "a table, perhaps the interactions",
    ".tsv": "a table, perhaps the interactions",
    ".jsonl": "a table, perhaps the interactions",
    ".inter": "RecBole's interactions",
    ".dat": "a table, perhaps the interactions",
    ".pkl": "a pickle: a model, an id map or a data set",
    ".pickle": "a pickle: a model, an id map or a data set",
    ".joblib": "a pickle: a model, an id map or a data set",
    ".pth": "a checkpoint or a saved data set",
    ".pt": "a checkpoint or a saved data set",
    ".ckpt": "a checkpoint",
    ".safetensors": "tensors, perhaps another version of the model",
    ".npz": "arrays: another version of the model, or a sparse matrix of the interactions",
    ".npy": "an array, perhaps embeddings",
    ".h5": "arrays or a data set",
    ".keras": "a model of Keras",
    ".kv": "vectors of gensim",
    ".model": "a model, perhaps of gensim",
    ".index": "a search index, perhaps over the embeddings",
    ".log": "a log",
    ".trainset": "the training set that Cornac saved with a model",
}

ADVICE = (
    "look whether it holds the erased data; make it again from the new model or the "
    "remaining data, or delete it"
)


def interactions_at(source: Path) -> Sibling:
    """The data that was read."""
    return Sibling(source, "the interactions", "--remaining writes them without what was forgotten")


def each_once(
    found: Iterable[Sibling], *, out: Path | None = None, items_map: Path | None = None
) -> tuple[Sibling, ...]:
    """``found`` without what is there twice and without ``out``; what can be rewritten stays, and
    else what came first. At ``items_map`` is nobody's id.
    """
    best: dict[Path, Sibling] = {}
    for sibling in found:
        place = sibling.path.absolute()
        if place not in best or (best[place].scrub is None and sibling.scrub is not None):
            best[place] = sibling
    if out is not None:
        best.pop(out.absolute(), None)
    at_map = None if items_map is None else best.get(items_map.absolute())
    if at_map is not None and at_map.scrub is None:
        best[at_map.path.absolute()] = replace(
            at_map, what="the map of item ids", advice="no user's id is in it"
        )
    return tuple(best.values())


def neighbors(path: Path, known: frozenset[Path] = frozenset()) -> tuple[Sibling, ...]:
    """Files in the folder of ``path`` whose names say that they hold data or models; ``known`` are
    left out.
    """
    found = []
    for entry in sorted(path.absolute().parent.iterdir())[:LISTED]:
        words = SUFFIXES.get(entry.suffix.lower())
        if LEFT_BEHIND.fullmatch(entry.name):
            found.append(
                Sibling(
                    entry, "left by a run that was killed, if none is writing it", "delete it then"
                )
            )
            continue
        if words is None or entry == path.absolute() or entry in known or not entry.is_file():
            continue
        found.append(Sibling(entry, words, ADVICE))
    return tuple(found)
