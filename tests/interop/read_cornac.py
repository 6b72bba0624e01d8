"""Run beside Cornac: load a model, score every user, recommend for some ids; load a training set
where there is one."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

from cornac.models import Recommender


def main(path: str, known: str, gone: str) -> None:
    model = Recommender.load(path)
    try:
        model.recommend(gone)
        refused = ""
    except ValueError as error:
        refused = str(error)
    answer = {
        "scores": [model.score(user).tolist() for user in range(model.num_users)],
        "recommended": model.recommend(known, k=5),
        "refused": refused,
        "user_ids": len(model.user_ids),
    }
    trainset = Path(path + ".trainset")
    if trainset.exists():
        with open(trainset, "rb") as file:
            data = pickle.load(file)
        answer["pairs"] = sorted(
            map(list, zip(*map(lambda a: a.tolist(), data.csr_matrix.nonzero()), strict=True))
        )
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
