"""Forgetting in RecBole's neural checkpoints, whose modules are rebuilt from the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from alteraser.adapters import ForeignOptions, recbole  # noqa: E402
from alteraser.adapters._recbole_modules import CheckpointNCF  # noqa: E402
from alteraser.adapters._recbole_neural import logits, propagated  # noqa: E402
from alteraser.adapters.forget import forget_foreign, open_foreign  # noqa: E402

FOLDER = Path(__file__).parents[1] / "adapters" / "fixtures" / "recbole"
OPTIONS = ForeignOptions(users_map=FOLDER / "toy.inter")


@pytest.mark.parametrize("name", ["NeuMF", "GMF"])
def test_the_module_scores_as_numpy_does(name: str) -> None:
    foreign = recbole.ADAPTER.read(FOLDER / f"{name}.pth", OPTIONS)
    module = CheckpointNCF(foreign.kind, foreign.users, foreign.items, foreign.further)
    P, Q = module.user_embedding, module.item_embedding
    users, items = torch.arange(40)[:, None], torch.arange(25)[None, :]
    expected = logits(
        foreign.kind, foreign.users[:, None, :], foreign.items[None, :, :], foreign.further
    )
    np.testing.assert_allclose(
        module(P, Q, users, items).detach().numpy(), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["NeuMF", "GMF", "LightGCN"])
def test_forgetting_lowers_what_was_forgotten_and_is_served(name: str, tmp_path: Path) -> None:
    opened = open_foreign(FOLDER / f"{name}.pth", FOLDER / "train.csv", OPTIONS)
    pairs = opened.data.to_table().slice(0, 3)
    passes = 0 if name == "LightGCN" else 1
    erasure = forget_foreign(
        opened, pairs, tmp_path / "out.pth", method="converge", max_passes=passes
    )
    foreign = recbole.ADAPTER.read(tmp_path / "out.pth", OPTIONS)
    np.testing.assert_array_equal(foreign.users, erasure.model.erased.users)
    np.testing.assert_array_equal(foreign.items, erasure.model.erased.items)
    before, after = opened.foreign, foreign
    u, v = erasure.removed.user_rows, erasure.removed.indices
    if name == "LightGCN":
        rest = erasure.remaining
        users, _ = propagated(rest, after.users, after.items, 2)
        np.testing.assert_allclose(after.further["restore_user_e"][1:], users, rtol=1e-5, atol=1e-6)
        old, new = before.further, after.further
        was, now = (
            np.einsum(
                "id,id->i", further["restore_user_e"][u + 1], further["restore_item_e"][v + 1]
            )
            for further in (old, new)
        )
        assert after.loss.check(after, rest).passed
    else:
        was, now = (
            logits(each.kind, each.users[u], each.items[v], each.further)
            for each in (before, after)
        )
        assert replace(before, users=after.users).loss.check(after, erasure.remaining).passed
    assert now.mean() < was.mean()
