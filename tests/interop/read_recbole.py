"""Run beside RecBole: load a checkpoint into its model, score everything, train one more epoch from
it."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch


def main(checkpoint: Path, inter: Path) -> None:
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    load = torch.load
    torch.load = lambda *args, **kwargs: load(*args, **{"weights_only": False, **kwargs})
    checkpoint = checkpoint.absolute()
    saved = torch.load(checkpoint)
    settings = saved["config"].variable_config_dict
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(
            inter.absolute().parent,
            Path(place) / "toy",
            ignore=lambda _, names: set(names) - {"toy.inter"},
        )
        with contextlib.chdir(place):
            config = Config(model=saved["config"]["model"], dataset="toy", config_dict=settings)
            init_seed(config["seed"], True)
            dataset = create_dataset(config)
            train, _, _ = data_preparation(config, dataset)
            model = get_model(config["model"])(config, train.dataset)
            model.load_state_dict(saved["state_dict"])
            model.load_other_parameter(saved["other_parameter"])
            model.eval()
            users = torch.arange(1, dataset.user_num).repeat_interleave(dataset.item_num)
            items = torch.arange(dataset.item_num).repeat(dataset.user_num - 1)
            with torch.no_grad():
                scores = model.predict({"user_id": users, "item_id": items}).view(
                    dataset.user_num - 1, -1
                )[:, 1:]
            trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
            trainer.resume_checkpoint(str(checkpoint))
            loss = trainer._train_epoch(train, 0)
            ids = dataset.field2id_token
    print(
        json.dumps(
            {
                "scores": scores.tolist(),
                "users": list(ids["user_id"][1:]),
                "items": list(ids["item_id"][1:]),
                "loss": float(loss if not isinstance(loss, tuple) else sum(loss)),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
