"""Run beside Surprise: load a dump and ask it for every user and item of a table."""

from __future__ import annotations

import csv
import json
import sys

from surprise import dump


def main(path: str, ratings: str) -> None:
    predictions, algorithm = dump.load(path)
    with open(ratings, encoding="utf-8") as file:
        pairs = [(row["user_id"], row["item_id"]) for row in csv.DictReader(file)]
    found = [algorithm.predict(user, item, clip=False) for user, item in pairs]
    trainset = algorithm.trainset
    print(
        json.dumps(
            {
                "estimates": [each.est for each in found],
                "ratings": sorted(map(list, trainset.all_ratings())),
                "known": sorted(
                    {trainset.to_raw_uid(u) for u in trainset.all_users() if trainset.knows_user(u)}
                ),
                "n_ratings": trainset.n_ratings,
                "mean": trainset.global_mean,
                "predictions": len(predictions or []),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
