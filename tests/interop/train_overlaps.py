"""Run beside a library: train on the pairs of IN (users, items, ratings, shape), save the model it makes as OUT."""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np


def surprise(data: Any, out: str, seed: int) -> None:
    """SVD, on a training set with every row, so that the same seed starts from the same values."""
    from surprise import SVD, Trainset, dump

    m, n = (int(size) for size in data["shape"])
    by_user, by_item = defaultdict(list), defaultdict(list)
    for user, item, r in zip(*(data[name].tolist() for name in ("users", "items", "ratings")), strict=True):
        by_user[user].append((item, r))
        by_item[item].append((user, r))
    ids = [{size: size for size in range(most)} for most in (m, n)]
    trainset = Trainset(by_user, by_item, m, n, len(data["users"]), (1, 5), *ids)
    algorithm = SVD(n_factors=16, n_epochs=40, random_state=seed)
    algorithm.fit(trainset)
    dump.dump(out, algo=algorithm)


def cornac(data: Any, out: str, seed: int, kind: str) -> None:
    """MF or BPR."""
    from cornac.data import Dataset
    from cornac.models import BPR, MF

    m, n = (int(size) for size in data["shape"])
    ids = [OrderedDict((row, row) for row in range(size)) for size in (m, n)]
    triples = data["users"], data["items"], data["ratings"].astype(np.float32)
    options = {"k": 8, "seed": seed, "num_threads": 1, "max_iter": 60}
    model = MF(**options) if kind == "mf" else BPR(learning_rate=0.05, **options)
    model.fit(Dataset(m, n, *ids, triples, seed=seed))
    model.train_set = None
    import pickle

    with open(out, "wb") as file:
        pickle.dump(model, file, protocol=pickle.HIGHEST_PROTOCOL)


def implicit(data: Any, out: str, seed: int, kind: str) -> None:
    """ALS; BPR or LMF on one thread: more do not repeat themselves."""
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from implicit.cpu.lmf import LogisticMatrixFactorization
    from scipy.sparse import csr_matrix

    options = {"factors": 16, "random_state": seed, "num_threads": 1}
    if kind == "bpr":
        model = BayesianPersonalizedRanking(learning_rate=0.05, **options)
    elif kind.startswith("als"):
        model = AlternatingLeastSquares(use_cg=kind == "als", **options)
    else:
        model = LogisticMatrixFactorization(**options)
    ones = np.ones(len(data["users"]), np.float32)
    model.fit(csr_matrix((ones, (data["users"], data["items"])), tuple(data["shape"])), show_progress=False)
    model.save(out)


def spark(data: Any, out: str, seed: int, kind: str) -> None:
    """ALS of Spark MLlib: ten iterations, as by default."""
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.driver.memory", "1g")
    builder = builder.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "4")
    session = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    triples = zip(*(data[name].tolist() for name in ("users", "items", "ratings")), strict=True)
    frame = session.createDataFrame(list(triples), ["user", "item", "rating"]).repartition(2)
    options = {"userCol": "user", "itemCol": "item", "ratingCol": "rating", "rank": 16, "seed": seed, "regParam": 0.1}
    ALS(implicitPrefs=kind == "implicit", alpha=1.0, numUserBlocks=2, numItemBlocks=2, **options).fit(frame).save(out)


def main(library: str, kind: str, source: str, out: str, seed: str) -> None:
    data = np.load(source)
    if library == "surprise":
        surprise(data, out, int(seed))
    else:
        {"cornac": cornac, "implicit": implicit, "spark": spark}[library](data, out, int(seed), kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
