"""Loads what we wrote into LensKit's scorer, in its environment: python read_lenskit.py FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from lenskit.als import ImplicitMFScorer
from lenskit.als._implicit import _implicit_otor
from lenskit.data import ItemList, from_interactions_df
from lenskit.training import TrainingOptions
from safetensors.numpy import load_file


def main() -> None:
    folder = Path(sys.argv[1])
    frame = pd.read_csv(folder / "data.csv").rename(columns={"plays": "rating"})
    data = from_interactions_df(frame)
    scorer = ImplicitMFScorer(
        embedding_size=6, epochs=1, regularization=0.5, weight=2.0, use_ratings=True
    )
    scorer.train(data, TrainingOptions(rng=7))
    new = load_file(folder / "new.safetensors")
    scorer.user_embeddings, scorer.item_embeddings = new["user_embeddings"], new["item_embeddings"]
    scorer._OtOr = _implicit_otor(scorer.item_embeddings, 0.5)
    rest = pd.read_csv(folder / "rest.csv").rename(columns={"plays": "rating"})
    scores, folded = {}, {}
    for user in (1, 2, 5):
        row = data.users.number(user)
        scores[user] = scorer(query=user, items=ItemList(data.items.ids())).scores().tolist()
        mine = rest[rest.user_id == user]
        items = data.items.numbers(mine.item_id.to_numpy())
        ratings = (mine.rating.to_numpy() * 2.0).astype(np.float32)
        fresh = scorer._train_new_row(
            items.astype(np.int32), ratings, scorer.item_embeddings, scorer._OtOr
        )
        folded[user] = [fresh.tolist(), scorer.user_embeddings[row].tolist()]
    print(json.dumps({"scores": scores, "folded": folded}))


if __name__ == "__main__":
    main()
