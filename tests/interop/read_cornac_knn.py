"""Run beside Cornac: load an ItemKNN that forgot, and train one without, with its settings: python
read_cornac_knn.py MODEL REST.CSV ERASED."""

import csv
import json
import sys

import numpy as np
from cornac.data import Dataset
from cornac.models import ItemKNN, Recommender

model = Recommender.load(sys.argv[1])
with open(sys.argv[2]) as file:
    rest = [(row["user_id"], row["item_id"], float(row["plays"])) for row in csv.DictReader(file)]
if model.min_rating == model.max_rating:
    rest = [(user, item, 1.0) for user, item, _ in rest]
settings = {
    name: getattr(model, name)
    for name in ("k", "similarity", "mean_centered", "weighting", "amplify")
}
wanted = ItemKNN(seed=1, verbose=False, **settings).fit(Dataset.from_uir(rest))
items = [item for item in model.iid_map if item in wanted.iid_map]
scores = [
    [
        np.ravel(each.score(each.uid_map[user]))[[each.iid_map[item] for item in items]].tolist()
        for user in wanted.uid_map
    ]
    for each in (model, wanted)
]
tables = [
    each.sim_mat[[each.iid_map[item] for item in items]][:, [each.iid_map[v] for v in items]]
    .toarray()
    .tolist()
    for each in (model, wanted)
]
try:
    model.recommend(sys.argv[3])
    refused = ""
except ValueError as error:
    refused = str(error)
told = [[each.global_mean, each.max_rating, each.min_rating] for each in (model, wanted)]
print(json.dumps({"scores": scores, "tables": tables, "told": told, "refused": refused,
                  "held": int(model.ui_mat.nnz), "rest": len(rest)}))  # fmt: skip
