"""Files beside a model that may still hold what was erased."""

from __future__ import annotations

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
}

ADVICE = (
    "look whether it holds the erased data; make it again from the new model or the "
    "remaining data, or delete it"
)


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
