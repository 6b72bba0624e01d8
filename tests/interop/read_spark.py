"""Run by ``test_real_spark.py`` where pyspark is: load models as Spark does, use them, and print
what came out.

    python read_spark.py FOLDER REMAINING

FOLDER holds ``implicit``, ``explicit``, ``pipeline`` and ``events.parquet``; REMAINING is trained
on anew.
"""

import json
import sys
from pathlib import Path

from pyspark.ml import PipelineModel
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import SparkSession


def main(models: Path, remaining: Path) -> None:
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.driver.memory", "768m")
        # a lineage of 15 iterations is deep, and frames of code not compiled yet are large
        .config("spark.driver.extraJavaOptions", "-Xss16m")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "4")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    events = spark.read.parquet((models / "events.parquet").as_uri())
    out = {}
    for name in ("implicit", "explicit"):
        model = ALSModel.load((models / name).as_uri())
        scored = model.transform(events).collect()
        out[name] = {
            "users": {row.id: list(row.features) for row in model.userFactors.collect()},
            "items": {row.id: list(row.features) for row in model.itemFactors.collect()},
            "scores": [
                [row.user, row.item, row.prediction]
                for row in scored
                if row.prediction == row.prediction
            ],
            "unknown": sorted({row.user for row in scored if row.prediction != row.prediction}),
            "lists": {
                row.user: [r.item for r in row.recommendations]
                for row in model.recommendForAllUsers(3).collect()
            },
        }
    pipeline = PipelineModel.load((models / "pipeline").as_uri())
    scored = pipeline.transform(events).collect()
    out["pipeline"] = {"scores": [[row.user_name, row.item_name, row.prediction] for row in scored]}
    data = spark.read.parquet(remaining.as_uri())
    # else the lineage of 40 passes is too deep
    spark.sparkContext.setCheckpointDir(str(models / "checkpoints"))
    als = ALS(
        rank=3,
        maxIter=40,
        regParam=0.05,
        seed=7,
        userCol="user",
        itemCol="item",
        ratingCol="plays",
        implicitPrefs=True,
        alpha=2.0,
        checkpointInterval=5,
    )
    retrained = als.fit(data)
    out["retrained"] = {
        "users": {row.id: list(row.features) for row in retrained.userFactors.collect()},
        "items": {row.id: list(row.features) for row in retrained.itemFactors.collect()},
    }
    spark.stop()
    print(json.dumps(out))


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))
