"""What RecBole makes of a checkpoint of ItemKNN or Pop, and what it computes without some users:
python read_recbole_tables.py MODEL CHECKPOINT FOLDER (with toy/toy.inter) USERS (its numbers)."""

import json
import sys

import numpy as np
import torch

_load = torch.load
torch.load = lambda *given, **named: _load(*given, **{**named, "weights_only": False})

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset  # noqa: E402
from recbole.model.general_recommender.itemknn import ComputeSimilarity  # noqa: E402
from recbole.utils import get_model  # noqa: E402

name, path, folder, gone = sys.argv[1:5]
saved = torch.load(path)
config = Config(
    model=name,
    dataset="toy",
    config_dict={
        "data_path": folder,
        "use_gpu": False,
        "load_col": {"inter": ["user_id", "item_id"]},
        "k": 5,
        "shrink": 2.0,
    },
)
dataset = create_dataset(config)
model = get_model(name)(config, dataset)
model.load_state_dict(saved["state_dict"])
model.load_other_parameter(saved["other_parameter"])
users = torch.arange(1, dataset.user_num)
scores = model.full_sort_predict({"user_id": users}).reshape(len(users), -1)
matrix = dataset.inter_matrix(form="csr").astype(np.float32).tolil()
matrix[[int(user) for user in gone.split(",")]] = 0
matrix = matrix.tocsr()
matrix.eliminate_zeros()
answer = {"scores": scores.tolist(), "counts": matrix.getnnz(axis=0).tolist()}
if name == "ItemKNN":
    _, wanted = ComputeSimilarity(matrix, topk=5, shrink=2.0).compute_similarity()
    answer |= {"w": model.w.toarray().tolist(), "wanted": wanted.toarray().tolist()}
    answer["times"] = (matrix @ model.w).toarray()[1:].tolist()
else:
    answer["kept"] = model.item_cnt.ravel().tolist()
print(json.dumps(answer))
