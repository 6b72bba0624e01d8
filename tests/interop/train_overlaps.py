"""Run beside a library: train on the pairs of IN (users, items, ratings, shape), save the model it
makes as OUT."""

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
    for user, item, r in zip(
        *(data[name].tolist() for name in ("users", "items", "ratings")), strict=True
    ):
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
    model.fit(
        csr_matrix((ones, (data["users"], data["items"])), tuple(data["shape"])),
        show_progress=False,
    )
    model.save(out)


def spark(data: Any, out: str, seed: int, kind: str) -> None:
    """ALS of Spark MLlib: ten iterations, as by default."""
    from pyspark.ml.recommendation import ALS
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").config("spark.driver.memory", "1g")
    # a lineage of ten iterations is deep, and frames of code not compiled yet are large
    builder = builder.config("spark.driver.extraJavaOptions", "-Xss16m")
    builder = builder.config("spark.ui.enabled", "false").config(
        "spark.sql.shuffle.partitions", "4"
    )
    session = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    triples = zip(*(data[name].tolist() for name in ("users", "items", "ratings")), strict=True)
    frame = session.createDataFrame(list(triples), ["user", "item", "rating"]).repartition(2)
    options = {
        "userCol": "user",
        "itemCol": "item",
        "ratingCol": "rating",
        "rank": 16,
        "seed": seed,
        "regParam": 0.1,
    }
    ALS(
        implicitPrefs=kind == "implicit", alpha=1.0, numUserBlocks=2, numItemBlocks=2, **options
    ).fit(frame).save(out)


def lenskit(data: Any, out: str, seed: int, kind: str) -> None:
    """ImplicitMF with its default weight; users and items who have nothing keep their place, and so
    the start."""
    import pandas as pd
    from lenskit.als import ImplicitMFScorer
    from lenskit.data import DatasetBuilder
    from lenskit.training import TrainingOptions

    builder = DatasetBuilder()
    for name, size in zip(("user", "item"), data["shape"], strict=True):
        builder.add_entities(name, np.arange(size))
    pairs = pd.DataFrame({"user_id": data["users"], "item_id": data["items"]})
    builder.add_interactions(
        "click", pairs, entities=["user", "item"], missing="error", default=True
    )
    scorer = ImplicitMFScorer(embedding_size=16, epochs=10, regularization=0.1, weight=40.0)
    scorer.train(builder.build(), TrainingOptions(rng=seed))
    tables = []
    sides = (scorer.users, scorer.user_embeddings), (scorer.items, scorer.item_embeddings)
    for (vocabulary, x), size in zip(sides, data["shape"], strict=True):
        table = np.zeros((size, x.shape[1]), np.float32)
        table[np.asarray(vocabulary.ids())] = np.nan_to_num(np.asarray(x))
        tables.append(table)
    np.savez(out, user_embeddings=tables[0], item_embeddings=tables[1])


def recbole(data: Any, out: str, seed: int, kind: str) -> None:
    """BPR or LightGCN; ``ENMF-20``: of RecBole's defaults, stopped after 20 epochs. What goes is
    left out after RecBole has numbered everybody, so rows and starts are the same."""
    import contextlib
    import tempfile
    from pathlib import Path

    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    kind, _, stop = kind.partition("-")
    epochs = int(stop or (60 if kind == "BPR" else 30))
    sys.argv = sys.argv[:1]  # RecBole reads it as well
    chosen = {"embedding_size": 16, "train_batch_size": 512, "learning_rate": 0.01}
    settings = {"BPR": {"weight_decay": 1e-4}, "LightGCN": {"n_layers": 2, "reg_weight": 1e-3}}
    mine = {} if stop else chosen | settings[kind]
    if kind == "ENMF":
        mine["train_neg_sample_args"] = None
    out = str(Path(out).absolute())
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        Path("toy").mkdir()
        pairs = zip(data["every_user"].tolist(), data["every_item"].tolist(), strict=True)
        lines = "".join(f"{user}\t{item}\n" for user, item in pairs)
        Path("toy/toy.inter").write_text("user_id:token\titem_id:token\n" + lines)
        config = Config(
            model=kind,
            dataset="toy",
            config_dict={
                "data_path": "",
                "checkpoint_dir": "saved",
                "epochs": epochs,
                "use_gpu": False,
                "seed": seed,
                "reproducibility": True,
                "show_progress": False,
                "eval_step": 0,
                "stopping_step": 0,
                "load_col": {"inter": ["user_id", "item_id"]},
                "eval_args": {
                    "split": {"RS": [1.0, 0.0, 0.0]},
                    "order": "RO",
                    "group_by": None,
                    "mode": "full",
                },
                **mine,
            },
        )
        init_seed(seed, True)
        dataset = create_dataset(config)
        rows = [
            np.array([dataset.token2id(name, str(row)) - 1 for row in range(size)])
            for name, size in zip(("user_id", "item_id"), data["shape"], strict=True)
        ]
        kept = set(
            zip(rows[0][data["users"]].tolist(), rows[1][data["items"]].tolist(), strict=True)
        )
        inter = dataset.inter_feat
        both = zip((inter["user_id"] - 1).tolist(), (inter["item_id"] - 1).tolist(), strict=True)
        dataset.inter_feat = inter[[pair in kept for pair in both]].reset_index(drop=True)
        train, _, _ = data_preparation(config, dataset)
        init_seed(seed, True)
        model = get_model(kind)(config, train.dataset)
        trainer = get_trainer(config["MODEL_TYPE"], kind)(config, model)
        trainer.fit(train, None, saved=False, show_progress=False)
        trainer._save_checkpoint(epochs - 1, saved_model_file=out)
    np.savez(out + ".rows.npz", users=rows[0], items=rows[1])


def main(library: str, kind: str, source: str, out: str, seed: str) -> None:
    data = np.load(source)
    if library == "surprise":
        surprise(data, out, int(seed))
    else:
        trainers = {
            "cornac": cornac,
            "implicit": implicit,
            "spark": spark,
            "lenskit": lenskit,
            "recbole": recbole,
        }
        trainers[library](data, out, int(seed), kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
