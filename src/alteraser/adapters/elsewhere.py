"""Files that are known, and cannot be forgotten in here: what they are, why not, and what to do."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from alteraser.adapters._pickled import first_bytes, mentions
from alteraser.adapters.indexes import index_at

_WORD2VEC = re.compile(rb"[1-9][0-9]{0,9} [1-9][0-9]{0,4}\r?\n(?=\S)")
"""The first line of word2vec's text and binary formats: vectors, and numbers in each."""


def damaged(path: Path) -> str | None:
    """In words, what of the file at ``path`` is missing; None where nothing shows."""
    if not path.is_file():
        return None
    if not path.stat().st_size:
        return f"{path} is empty: whatever wrote it did not end. Restore it from a copy"
    if first_bytes(path, 4) == ZIP and not zipfile.is_zipfile(path):
        return (
            f"{path} begins as an archive (.npz, .pth, .keras) and has no end: it was cut off. "
            "Restore it from a copy"
        )
    return None


def known(path: Path) -> str | None:
    """In words, for the end of a message, what the file at ``path`` is; None where that is not
    known.
    """
    if not path.is_file():
        return None
    if mentions(path, b"gensim.models"):
        return f"{path} was saved by gensim. {GENSIM}"
    index = index_at(path)
    if index is not None:
        return (
            f"{path} is {index.words}: a copy of a model's vectors. Forget in the model, then "
            "build the index again or patch the rows that changed (the guide search-indexes in "
            "the documentation)"
        )
    if b"joblib.numpy_pickle" in first_bytes(path):
        return (
            f"{path} was written by joblib.dump, whose arrays lie between a pickle's instructions "
            "and are not read. Where you trust the file, load it once and save the model in its "
            "library's own way"
        )
    if _WORD2VEC.match(first_bytes(path, 64)):
        return f"{path} holds vectors in word2vec's format. {GENSIM}"
    if mentions(path):
        return (
            f"{path} is a pickle of none of the libraries whose pickles are read here: implicit, "
            "Surprise, Cornac, LightFM. Where you trust the file, load it once and save its two "
            "tables as arrays named user_embeddings and item_embeddings, in a .npz or a "
            ".safetensors, with the ids in the order of the rows beside; --loss says what they "
            "minimize (for LensKit's implicit ALS lenskit-als)"
        )
    return None


ZIP = b"PK\x03\x04"
"""What archives begin with; an empty one holds no model."""


GENSIM = (
    "Such a model (item2vec) is not forgotten in here: it has a vector for each item and none for "
    "users, whose histories were its sentences, and skip-grams are trained by sampled steps that "
    "end at no optimum to go on from. Train it again on the histories without what must go (the "
    "same seed, one worker and PYTHONHASHSEED give the same start); an item that is then below "
    "min_count has no vector any more. Delete the old file with its .npy companions: a .model "
    "also holds the counts of every item"
)
