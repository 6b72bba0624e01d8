"""Loads what we wrote with implicit itself, in its environment: python read_implicit.py FOLDER
KIND.

FOLDER holds ``new.npz`` and ``rest.csv``, the remaining data. Answers with what the model
recommends and how far the library's own least squares would move its rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv
from implicit.cpu import als, bpr, lmf
from scipy.sparse import csr_matrix

CLASSES = {
    "als": als.AlternatingLeastSquares,
    "bpr": bpr.BayesianPersonalizedRanking,
    "lmf": lmf.LogisticMatrixFactorization,
}


def main() -> None:
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    model = CLASSES[kind].load(str(folder / "new.npz"))
    rest = pyarrow.csv.read_csv(folder / "rest.csv")
    plays = rest["plays"].to_numpy().astype(np.float32)
    matrix = csr_matrix(
        (plays, (rest["user_id"].to_numpy(), rest["item_id"].to_numpy())), shape=(40, 25)
    )
    ids, scores = model.recommend(np.arange(40), matrix, N=3)
    found = {
        "users": model.user_factors.tolist(),
        "items": model.item_factors.tolist(),
        "dtype": str(model.user_factors.dtype),
        "recommended": ids.tolist(),
        "scores": scores.tolist(),
        "iterations": model.iterations,
    }
    if kind == "als":
        users = model.recalculate_user(np.arange(40), matrix)
        items = model.recalculate_item(np.arange(25), matrix.T.tocsr())
        found["moves"] = [
            float(np.linalg.norm(new - old) / np.linalg.norm(old))
            for new, old in ((users, model.user_factors), (items, model.item_factors))
        ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
