"""Run beside Cornac: load an EASE that forgot, and train one without: python read_cornac_ease.py
MODEL REST.CSV ERASED."""

import csv
import json
import sys

import numpy as np
from cornac.data import Dataset
from cornac.models import EASE, Recommender

model = Recommender.load(sys.argv[1])
with open(sys.argv[2]) as file:
    rest = [(row["user_id"], row["item_id"], float(row["plays"])) for row in csv.DictReader(file)]
data = Dataset.from_uir(rest)
wanted = EASE(lamb=model.lamb, posB=model.posB, verbose=False).fit(data)
known = rest[0][0]
ours = {item: row for item, row in model.iid_map.items() if item in wanted.iid_map}
scores = [
    np.ravel(each.score(each.uid_map[known]))[[each.iid_map[item] for item in ours]].tolist()
    for each in (model, wanted)
]
try:
    model.recommend(sys.argv[3])
    refused = ""
except ValueError as error:
    refused = str(error)
told = [[each.global_mean, each.max_rating, each.min_rating] for each in (model, wanted)]
print(json.dumps({"scores": scores, "told": told, "refused": refused,
                  "held": int(model.U.nnz), "rest": len(rest)}))  # fmt: skip
