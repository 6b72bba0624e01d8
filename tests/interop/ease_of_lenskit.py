"""LensKit trains its EASE on data.csv and keeps its weights, or scores with weights that we wrote:
python ease_of_lenskit.py FOLDER [new]."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer
from lenskit.training import TrainingOptions

folder = Path(sys.argv[1])


def trained(name: str) -> EASEScorer:
    scorer = EASEScorer(regularization=3.0)
    scorer.train(from_interactions_df(pd.read_csv(folder / name)), TrainingOptions(rng=7))
    return scorer


scorer = trained("data.csv")
if len(sys.argv) == 2:
    np.savez(folder / "ease.npz", item_ids=scorer.items.ids(), weights=scorer.weights)
    print("{}")
else:
    scorer.weights = np.load(folder / "new.npz")["weights"]
    wanted = trained("rest.csv")
    query = RecQuery(history_items=ItemList(wanted.items.ids()[:3]))
    found = [
        each(query, ItemList(wanted.items.ids())).scores().tolist() for each in (scorer, wanted)
    ]
    print(json.dumps(found))
