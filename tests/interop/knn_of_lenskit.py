"""LensKit trains its ItemKNNScorer on data.csv and keeps its similarities, or scores with those
that we wrote: python knn_of_lenskit.py FOLDER FEEDBACK SAVED [new]; SAVED 0 is all."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.data.matrix import SparseRowArray
from lenskit.knn import ItemKNNScorer
from lenskit.training import TrainingOptions
from scipy.sparse import csr_array

folder, feedback, saved = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def trained(name: str) -> ItemKNNScorer:
    scorer = ItemKNNScorer(feedback=feedback, save_nbrs=saved or None)
    scorer.train(from_interactions_df(pd.read_csv(folder / name)), TrainingOptions(rng=7))
    return scorer


scorer = trained("data.csv")
explicit = {"item_means": scorer.item_means} if feedback == "explicit" else {}
if len(sys.argv) == 4:
    table = scorer.sim_matrix.to_scipy()
    np.savez(folder / "knn.npz", data=table.data, indices=table.indices, indptr=table.indptr,
             shape=table.shape, item_ids=scorer.items.ids(), **explicit)  # fmt: skip
    print("{}")
else:
    with np.load(folder / "new.npz") as new:
        parts = tuple(new[name] for name in ("data", "indices", "indptr"))
        data, indices, indptr = parts
        parts = data, indices.astype(np.int32), indptr
        table = csr_array(parts, tuple(new["shape"]))
        scorer.item_means = new["item_means"] if explicit else None
    scorer.sim_matrix = SparseRowArray.from_scipy(table, large=True)
    scorer.item_counts = np.diff(table.indptr)
    wanted = trained("rest.csv")
    rest = pd.read_csv(folder / "rest.csv")
    found: list = [[], []]
    for user in rest["user_id"].unique()[:8]:
        mine = rest[rest["user_id"] == user]
        history = ItemList(item_ids=mine["item_id"].to_numpy(), rating=mine["rating"].to_numpy())
        for each, scores in zip((scorer, wanted), found, strict=True):
            told = each(RecQuery(history_items=history), ItemList(wanted.items.ids())).scores()
            scores.append(np.nan_to_num(told, nan=-9.0).tolist())
    print(json.dumps(found))
