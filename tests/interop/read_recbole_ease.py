"""What PyTorch and RecBole make of a checkpoint: python read_recbole_ease.py CHECKPOINT FOLDER
(with toy/toy.inter)."""

import json
import sys

import torch

_load = torch.load
torch.load = lambda *given, **named: _load(*given, **{**named, "weights_only": False})

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset  # noqa: E402
from recbole.model.general_recommender import EASE  # noqa: E402

saved = torch.load(sys.argv[1])
config = Config(
    model="EASE",
    dataset="toy",
    config_dict={
        "data_path": sys.argv[2],
        "use_gpu": False,
        "load_col": {"inter": ["user_id", "item_id"]},
        "reg_weight": 10.0,
    },
)
model = EASE(config, create_dataset(config))
model.load_state_dict(saved["state_dict"])
model.load_other_parameter(saved["other_parameter"])
users = torch.arange(1, 40)
scores = model.full_sort_predict({"user_id": users}).reshape(len(users), -1)
print(
    json.dumps(
        {
            "per_user": model.interaction_matrix.getnnz(axis=1).tolist(),
            "scores": scores.tolist(),
            "weights": model.item_similarity.tolist(),
        }
    )
)
