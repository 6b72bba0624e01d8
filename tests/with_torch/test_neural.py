"""Training neural recommenders, forgetting in them, and their files."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import Run, toy_interactions, tree  # noqa: E402

import alteraser  # noqa: E402
import alteraser as ae  # noqa: E402
from alteraser import neural  # noqa: E402
from alteraser.data.interactions import Interactions  # noqa: E402
from alteraser.errors import IntegrityError, InvalidInput, NotFound, NumericFailure, OutputExists  # noqa: E402
from alteraser.models import Objective  # noqa: E402
from alteraser.neural import KINDS, Alternating, Loss, NeuralModel, SampledLoss, Training  # noqa: E402
from alteraser.neural.alternation import parameters  # noqa: E402
from alteraser.neural.ranking import Ranker  # noqa: E402
from alteraser.solvers.rows.hf_newton import HFNewton  # noqa: E402

pytestmark = pytest.mark.torch

LOSS = Loss(negatives=3, draws=4, close_draws=8, regularization=0.5, phi_regularization=0.5)
CLOSELY = HFNewton(steps=12, products=12, damping=1e-3, small=1e-8)
QUICK = Training(max_epochs=4, batch=16, learning_rate=0.02)


def some(data: Interactions, *places: int) -> list[tuple[int, int]]:
    """The interactions at these places, as ids."""
    table = data.to_table()
    return [(table["user_id"][k].as_py(), table["item_id"][k].as_py()) for k in places]


def trained(kind: str, data: Interactions, *, seed: int = 3) -> Any:
    module = KINDS[kind](*data.shape, 4, seed=seed)
    with torch.no_grad():  # far from zero, where ReLU layers are alive
        module.user_embedding.mul_(6.0)
        module.item_embedding.mul_(6.0)
    neural.train(module, data, LOSS, QUICK)
    return module.double()


def minimized(module: Any, data: Interactions, close: Any) -> Any:
    """``module`` at a minimum of the whole loss over both tables, Φ held, by L-BFGS from where it
    is."""
    whole = SampledLoss(module, data, LOSS, close=close)
    tables = [module.user_embedding, module.item_embedding]
    solver = torch.optim.LBFGS(
        tables,
        max_iter=300,
        tolerance_grad=1e-8,
        tolerance_change=0,
        history_size=30,
        line_search_fn="strong_wolfe",
    )
    phi = parameters(module)[2]

    def closure() -> Any:
        solver.zero_grad()
        value = whole.total(*tables, phi)
        value.backward()
        return value

    solver.step(closure)
    return module


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss_and_repeats_itself(kind: str) -> None:
    data = toy_interactions(30, 20, lonely=False)
    runs = []
    for seed in (1, 1, 2):
        module = KINDS[kind](*data.shape, 4, seed=5)
        done = neural.train(module, data, LOSS, QUICK.model_copy(update={"seed": seed}))
        assert done.losses[-1] < done.losses[0]
        runs.append(module.state_dict())
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["user_embedding"], runs[2]["user_embedding"])


def test_early_stopping_keeps_the_best_epoch() -> None:
    data = toy_interactions(20, 15, lonely=False)
    scores = iter([1.0, 3.0, 2.0, 2.5, 2.9])
    states: list[Any] = []

    def score(module: Any) -> float:
        states.append(deepcopy(module.state_dict()))
        return next(scores)

    module = KINDS["gmf"](*data.shape, 4)
    done = neural.train(
        module, data, LOSS, QUICK.model_copy(update={"patience": 2, "max_epochs": 9}), score=score
    )
    assert (done.epochs, done.best_epoch) == (5, 2) or (done.epochs, done.best_epoch) == (4, 2)
    assert torch.equal(module.state_dict()["item_embedding"], states[1]["item_embedding"])


def test_training_says_what_is_wrong() -> None:
    data = toy_interactions(20, 15)
    with pytest.raises(
        InvalidInput, match="the data have 20 users and 15 items, the module has 3 and 3"
    ):
        neural.train(KINDS["gmf"](3, 3, 2), data, LOSS)
    with pytest.raises(InvalidInput, match="hold no interaction"):
        neural.train(KINDS["gmf"](20, 15, 2), data.keep(np.zeros(len(data), bool)), LOSS)
    with pytest.raises(NumericFailure, match="lower the learning rate"):
        neural.train(
            KINDS["gmf"](20, 15, 2), data, LOSS, Training(learning_rate=1e30, max_epochs=9)
        )
    with pytest.raises(InvalidInput, match="unknown model 'svd'"):
        neural.fit("svd", data)
    with pytest.raises(InvalidInput, match="leave out targets"):
        neural.fit("gmf", toy_interactions(20, 15, weighted=True))
    with pytest.raises(InvalidInput, match="other rows"):
        neural.fit("gmf", data, validation=toy_interactions(21, 15))


# ---------------------------------------------------------------- erasing


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "lightgcn"])
def test_rows_of_users_arrive_where_training_them_from_scratch_does(kind: str) -> None:
    """Items and Φ held, not anchored: a row has one minimum, whatever it started from (with ReLUs
    it falls)."""
    data = toy_interactions(14, 11)
    module = trained(kind, data)
    removal = data.remove(some(data, 3, 4, 20))
    how = Alternating(anchored=False, items=False, newton=CLOSELY)
    found = deepcopy(module)
    neural.erase(found, data, removal, LOSS, how)
    users = np.unique(removal.removed.user_rows)
    whole = SampledLoss(module, removal.remaining, LOSS, close=users)
    P, Q, _ = parameters(module)
    batch = whole.rows("user", P, Q, users)
    scratch = CLOSELY.minimize(batch, torch.full((users.size, 4), 0.1, dtype=torch.float64)).x
    mine = found.user_embedding.detach()[torch.from_numpy(users)]
    if kind in ("gmf", "bpr"):
        assert torch.allclose(mine, scratch, atol=1e-5)
    assert bool((batch.values(mine) < batch.values(P[torch.from_numpy(users)])).all())
    rest = np.setdiff1d(np.arange(14), users)
    assert torch.equal(found.user_embedding[rest], module.user_embedding[rest])
    assert torch.equal(found.item_embedding, module.item_embedding)


def test_passes_arrive_where_retraining_from_scratch_does() -> None:
    """GMF, h held: alternation from the old optimum reaches the loss and the scores of a minimum on
    what remains."""
    data = toy_interactions(14, 11)
    removal = data.remove(some(data, 3, 4, 20))
    close = np.unique(removal.removed.user_rows)
    original = minimized(trained("gmf", data), data, close)
    retrained = deepcopy(original)
    with torch.no_grad():
        for table, seed in ((retrained.user_embedding, 1), (retrained.item_embedding, 2)):
            table.copy_(
                0.3 * torch.randn(table.shape, generator=torch.Generator().manual_seed(seed))
            )
    minimized(retrained, removal.remaining, close)
    start, rough = deepcopy(original), HFNewton(steps=2, products=6, damping=1e-3)
    neural.erase(
        start,
        data,
        removal,
        LOSS,
        Alternating(anchored=False, newton=rough, rough=rough, passes=25),
    )
    whole = SampledLoss(original, removal.remaining, LOSS, close=close)
    L = [float(whole.total(*parameters(module))) for module in (original, start, retrained)]
    assert L[1] - L[2] < 0.02 * (L[0] - L[2])
    scores = [
        Ranker(module, removal.remaining).block(np.arange(14))
        for module in (original, start, retrained)
    ]
    assert np.abs(scores[1] - scores[2]).max() < 0.2 * np.abs(scores[0] - scores[2]).max()


@pytest.mark.parametrize("kind", ["gmf", "bpr", "lightgcn"])
def test_the_anchored_loss_of_a_converged_model_is_the_loss_of_what_remains(kind: str) -> None:
    """Then anchored and plain passes are the same, up to what convergence left."""
    data = toy_interactions(14, 11)
    removal = data.remove(some(data, 3, 4, 20))
    original = minimized(trained(kind, data), data, np.unique(removal.removed.user_rows))
    found = []
    for anchored in (True, False):
        module = deepcopy(original)
        neural.erase(module, data, removal, LOSS, Alternating(anchored=anchored, sample=0))
        found.append(torch.cat([module.user_embedding, module.item_embedding]).detach())
    start = torch.cat([original.user_embedding, original.item_embedding]).detach()
    assert float((found[0] - found[1]).norm()) < 1e-2 * float((found[0] - start).norm())


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_original_the_anchored_gradient_is_the_push(kind: str) -> None:
    data = toy_interactions(14, 11)
    removal, module = data.remove(some(data, 3, 4, 20)), trained(kind, data)
    assert neural.residual(module, module, data, removal, LOSS) == pytest.approx(1.0)
    nothing = data.remove([(0, 0)])
    moved = deepcopy(module)
    erased = neural.erase(moved, data, nothing, LOSS, Alternating(passes=1, phi=True))
    assert erased.push == 0.0
    for name, value in module.state_dict().items():
        assert torch.allclose(moved.state_dict()[name], value, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("anchored", [True, False])
def test_every_half_pass_lowers_its_loss_the_phi_step_too(kind: str, anchored: bool) -> None:
    data = toy_interactions(30, 20)
    module, removal = trained(kind, data), data.remove(some(data, 3, 4, 40))
    steps: list[neural.NeuralPass] = []
    neural.erase(
        module,
        data,
        removal,
        LOSS,
        Alternating(anchored=anchored, passes=1, phi=True),
        on_step=steps.append,
    )
    parts = ["user", "item"] + (["phi"] if kind in ("gmf", "mlp", "neumf") else [])
    assert [step.part for step in steps] == 2 * parts
    assert all(step.removed >= 0 for step in steps)
    assert all(step.removed > 0 for step in steps if step.part == "phi")


def test_items_compared_with_each_other_never_raise_the_whole_loss() -> None:
    data = toy_interactions(14, 11)
    removal, module = data.remove(some(data, 3, 4, 20)), trained("bpr", data)
    whole = SampledLoss(module, removal.remaining, LOSS, close=np.unique(removal.removed.user_rows))
    values = [float(whole.total(*parameters(module)))]
    for passes in range(4):
        found = deepcopy(module)
        neural.erase(
            found, data, removal, LOSS, Alternating(anchored=False, passes=passes, rough=CLOSELY)
        )
        values.append(float(whole.total(*parameters(found))))
    assert values == sorted(values, reverse=True)


# ---------------------------------------------------------------- the door


def fitted(kind: str = "gmf", **more: Any) -> tuple[Interactions, NeuralModel]:
    data = toy_interactions(14, 11)
    return data, neural.fit(kind, data, factors=4, loss=LOSS, training=QUICK, **more)


@pytest.mark.parametrize("kind", KINDS)
def test_forgetting_returns_another_model_and_does_not_depend_on_the_order_of_requests(
    kind: str,
) -> None:
    data, model = fitted(kind)
    before = deepcopy(model.module.state_dict())
    pairs = some(data, 3, 4, 20, 27)
    first = neural.forget(model, pairs, data=data)
    # what remains is accepted in the place of all
    second = neural.forget(model, pairs[::-1], data=first.remaining)
    assert all(
        torch.equal(before[name], value) for name, value in model.module.state_dict().items()
    )
    for name, value in first.model.module.state_dict().items():
        assert torch.equal(value, second.model.module.state_dict()[name])
    assert first.model.trained_on.digest == first.remaining.digest
    assert len(first.removed) == 4
    by_module = neural.forget(model.module, pairs, data=data, loss=LOSS)
    assert torch.equal(by_module.model.user_embedding, first.model.module.user_embedding)


def test_it_is_the_forgetting_of_every_kind() -> None:
    data, model = fitted()
    pairs = some(data, 3, 4, 20)
    direct, door = neural.forget(model, pairs, data=data), ae.forget(model, pairs, data=data)
    assert type(direct) is type(door) is ae.Erasure
    assert torch.equal(direct.model.module.user_embedding, door.model.module.user_embedding)
    module = ae.forget(neural.WithLoss(model.module, LOSS), pairs, data=data)
    assert torch.equal(module.model.module.user_embedding, door.model.module.user_embedding)
    said = door.document()
    assert (said["class"], said["residual"], said["interactions_forgotten"]) == ("D", None, 3), (
        "nothing was measured"
    )
    assert json.loads(json.dumps(said["trace"]))[0]["part"] == "user"
    assert door.model.training["push"] == door.work.push > 0
    for each in (model, neural.WithLoss(model.module, LOSS)):
        with pytest.raises(InvalidInput, match="learn no additions"):
            ae.forget(each, pairs, data=data, grown=True)
        with pytest.raises(InvalidInput, match=r"neural models forget by Alternating"):
            ae.forget(each, pairs, data=data, method="replay")
        with pytest.raises(NotFound, match="--strict: 1 row"):
            ae.forget(each, [*pairs, (99, 99)], data=data, strict=True)


def test_a_user_forgotten_whole_has_a_zero_row_and_no_id() -> None:
    data, model = fitted()
    user = int(data.users.ids[4].as_py())
    erasure = neural.forget(model, [user], data=data, whole_users=True)
    assert not bool(erasure.model.module.user_embedding[4].any())
    assert erasure.model.users.rows_of([user], "users")[0] == -1
    with pytest.raises(NotFound, match=f"user {user} is not in the model"):
        erasure.model.recommend([user], seen=erasure.remaining)


def test_an_item_forgotten_whole_is_in_nobody_s_remaining_data() -> None:
    data, model = fitted()
    item = data.items.ids[2].as_py()
    erasure = neural.forget(model, [item], data=data, whole_items=True)
    assert set(erasure.removed.indices.tolist()) == {2}
    assert not erasure.remaining.item_counts[2]


def test_a_foreign_module_goes_its_own_way() -> None:
    class Dot(torch.nn.Module):
        def __init__(self, m: int, n: int) -> None:
            super().__init__()
            self.user_embedding, self.item_embedding = (
                torch.nn.Embedding(m, 2),
                torch.nn.Embedding(n, 2),
            )

    data = toy_interactions(14, 11)
    objective = Objective(missing_weight=0.2, regularization=0.1)
    erasure = neural.forget(
        Dot(*data.shape),
        some(data, 3),
        data=data,
        objective=objective,
        score=lambda _, p, q: (p * q).sum(-1),
    )
    assert isinstance(erasure.model, Dot)
    assert len(erasure.removed) == 1
    with pytest.raises(InvalidInput, match="a Dot does not say its objective and score"):
        neural.forget(Dot(*data.shape), some(data, 3), data=data)


def test_what_cannot_be_forgotten_is_said() -> None:
    data, model = fitted()
    with pytest.raises(NotFound, match="nothing to forget"):
        neural.forget(model, [(0, 0)], data=data)
    with pytest.raises(NotFound, match="nothing to forget"):
        neural.forget(model.module, [(0, 0)], data=data, loss=LOSS)
    with pytest.raises(IntegrityError, match="the data are not what the model was trained on"):
        neural.forget(model, some(data, 1), data=data.keep(np.arange(len(data)) > 2))
    with pytest.raises(InvalidInput, match="brings its own loss"):
        neural.forget(model, some(data, 1), data=data, loss=LOSS)
    with pytest.raises(InvalidInput, match="give the loss"):
        neural.forget(model.module, some(data, 1), data=data)
    with pytest.raises(InvalidInput, match="cannot forget in a str"):
        neural.forget("model", some(data, 1), data=data)
    with pytest.raises(InvalidInput, match="passes=-1"):
        neural.forget(model, some(data, 1), data=data, how=Alternating(passes=-1))
    poisoned = deepcopy(model.module)
    with torch.no_grad():
        poisoned.item_embedding[1] = float("nan")
    with pytest.raises(NumericFailure, match="raise the regularization or the damping"):
        neural.forget(poisoned, some(data, 1), data=data, loss=LOSS)


def test_recommendations_leave_out_what_was_seen() -> None:
    data, model = fitted("lightgcn", layers=1)
    user = data.users.ids[4].as_py()
    (answer,) = model.recommend([user], k=20, seen=data).to_list()
    listed = [entry["item_id"] for entry in answer["items"]]
    seen = set(data.items.ids_of(data.indices[data.indptr[4] : data.indptr[5]]).to_pylist())
    assert len(listed) == 11 - len(seen)
    assert not seen & set(listed)
    scores = [entry["score"] for entry in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    # another graph is another model
    with pytest.raises(IntegrityError, match="not what the model was trained on"):
        model.recommend([user], seen=data.keep(np.arange(len(data)) > 0))
    with pytest.raises(InvalidInput, match="k=0"):
        model.recommend(k=0, seen=data)
    with pytest.raises(InvalidInput, match=r"propagates over .* give them \(seen=data\)"):
        model.recommend([user])


# ---------------------------------------------------------------- a recommender like any other


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_evaluated_and_compared_as_any_recommender(kind: str) -> None:
    data = toy_interactions(14, 11)
    held = data.keep(np.arange(len(data)) % 5 == 0)
    train = data.keep(np.arange(len(data)) % 5 != 0)
    model, other = (
        neural.fit(kind, train, factors=4, loss=LOSS, training=QUICK, seed=seed) for seed in (0, 1)
    )
    rows = np.flatnonzero(held.user_counts > 0)
    ranker = Ranker(model.module, train)
    assert ae.evaluate(model, held, data=train, depths=(3,)) == {
        **ranker.accuracy(rows, held, train, (3,)),
        "users": len(rows),
    }
    every = (np.repeat(np.arange(14), 11), np.tile(np.arange(11), 14))
    mine, theirs = (Ranker(m.module, train).scores(*every) for m in (model, other))
    agreed = ae.compare(model, other, data=train)
    assert agreed["score_distance"] == pytest.approx(
        np.linalg.norm(mine - theirs) / (np.linalg.norm(theirs) or 1.0), rel=1e-5
    )  # an MLP of this size may have no unit that is on
    theta = [
        np.concatenate([value.double().numpy().ravel() for value in m.module.state_dict().values()])
        for m in (model, other)
    ]
    assert agreed["model_distance"] == pytest.approx(
        np.linalg.norm(theta[0] - theta[1]) / np.linalg.norm(theta[1])
    )
    itself = ae.compare(model, model, data=train)
    assert (itself["rbo@10"], itself["score_distance"], itself["model_distance"]) == (1, 0, 0)
    with pytest.raises(InvalidInput, match=f"cannot verify a model of kind {kind}: .* sampled"):
        ae.verify(model, train)


def test_lists_of_some_items_are_the_whole_ones_with_the_others_struck_out() -> None:
    data, model = fitted()
    some = model.items.ids.to_pylist()[::3]
    whole = model.recommend(k=model.items.size, seen=data).to_list()
    chosen = model.recommend(k=3, seen=data, among=some).to_list()
    for every, few in zip(whole, chosen, strict=True):
        assert few["items"] == [x for x in every["items"] if x["item_id"] in some][:3]


def test_models_of_two_sizes_are_compared_by_their_scores() -> None:
    data, model = fitted()
    larger = neural.fit("gmf", data, factors=5, loss=LOSS, training=QUICK)
    agreed = ae.compare(model, larger, data=data)
    assert agreed["score_distance"] > 0
    assert "model_distance" not in agreed


def test_who_is_gone_is_in_no_list_and_in_the_chain(tmp_path: Path) -> None:
    data, model = fitted()
    model = model.save(tmp_path / "model")
    item = data.items.ids[2].as_py()
    first = neural.forget(model, [item], data=data, whole_items=True)
    kept = first.model.save(tmp_path / "first")
    for asked in (kept, neural.load(tmp_path / "first")):
        lists = asked.recommend(k=20).to_list()
        assert all(entry["item_id"] != item for each in lists for entry in each["items"])
        assert set(data.indices[asked.erased.returned(data).places].tolist()) == {2}
        assert asked.ancestors == (model.digest,)
    user = data.users.ids[4].as_py()
    second = neural.forget(kept, [user], data=first.remaining, whole_users=True).model
    assert second.ancestors == (kept.digest, model.digest)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_comes_back_from_its_folder_and_forgets_alike(kind: str, tmp_path: Path) -> None:
    data, model = fitted(kind)
    saved = model.save(tmp_path / "model")
    files = tree(tmp_path)
    assert set(files) == {
        f"model/{name}"
        for name in ("model.json", "model.safetensors", "users.parquet", "items.parquet")
    }
    again = neural.load(tmp_path / "model")
    assert (again.digest, again.loss, again.trained_on, again.users) == (
        saved.digest,
        model.loss,
        model.trained_on,
        model.users,
    )
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, again.module.state_dict()[name])
    mine, theirs = (neural.forget(m, some(data, 3, 9), data=data).model for m in (model, again))
    assert torch.equal(mine.module.item_embedding, theirs.module.item_embedding)
    assert theirs.parent == saved.digest
    theirs.save(tmp_path / "new")
    with pytest.raises(OutputExists):
        model.save(tmp_path / "model")
    assert {name: digest for name, digest in tree(tmp_path).items() if name in files} == files


def test_damaged_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    data, model = fitted("mlp")
    model.save(tmp_path / "model")
    with pytest.raises(IntegrityError, match="kind 'mlp', expected enmf"):
        alteraser.load(tmp_path / "model")
    alteraser.ENMF(factors=2, max_passes=2).fit(data).save(tmp_path / "enmf")
    with pytest.raises(InvalidInput, match=r"kind 'enmf': read it with alteraser\.load"):
        neural.load(tmp_path / "enmf")
    with pytest.raises(NotFound, match="no model at"):
        neural.load(tmp_path / "nothing")
    tensors = tmp_path / "model" / "model.safetensors"
    content = tensors.read_bytes()
    tensors.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"model\.safetensors is missing or does not match"):
        neural.load(tmp_path / "model")
    tensors.write_bytes(content)
    manifest = json.loads((tmp_path / "model" / "model.json").read_text())
    manifest["configuration"]["factors"] = 8
    from alteraser.models.folder import digest_of

    manifest["digest"] = digest_of(manifest)
    (tmp_path / "model" / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(IntegrityError, match="is not a model of this format"):
        neural.load(tmp_path / "model")
    with torch.no_grad():
        model.module.h[0] = float("inf")
    with pytest.raises(NumericFailure, match="never written"):
        model.save(tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


# ---------------------------------------------------------------- the bench


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("sets")
    for name, seed in (("tiny", 0), ("tinier", 1)):
        (folder / name).mkdir()
        data = toy_interactions(60, 40, 0.4, seed=seed, lonely=False)
        pq.write_table(data.to_table(), folder / name / "interactions.parquet")
    return folder


def test_the_bench_runs_goes_on_and_reports(sets: Path, run: Run, tmp_path: Path) -> None:
    line = (
        f"bench neural --data {sets} --datasets tiny --models gmf,lightgcn --users 5 "
        "--max-epochs 2 --factors 4 --out o"
    )
    code, out, err = run(line + " --json")
    assert code == 0, err
    document = json.loads(out)
    assert document["cells"] == 10 + 9  # LightGCN has no Φ
    report = (tmp_path / "o" / "report.md").read_text()
    assert "### GMF, tiny" in report
    assert "### LightGCN, tiny" in report
    assert "A fifth of the time" in report
    cells = tree(tmp_path / "o" / "cells")
    (gone,) = [name for name in cells if "[gmf]" in name and name.endswith("/alteraser.json")]
    (tmp_path / "o" / "cells" / gone).unlink()
    assert run(line)[0] == 0
    again = tree(tmp_path / "o" / "cells")
    changed = [name for name in cells if cells[name] != again[name]]
    assert changed == [gone]
    record = json.loads((tmp_path / "o" / "cells" / gone).read_text())
    assert record["metrics"]["rbo@10"] <= 1
    assert [step["part"] for step in record["trace"]] == ["user", "item"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--models svd", "unknown model 'svd'; there are all, gmf, mlp, neumf, bpr, lightgcn"),
        ("--methods magic", "unknown method 'magic'; there are all, retrain, original"),
        ("--datasets none", "--datasets: none not in"),
    ],
)
def test_the_bench_names_what_it_does_not_know(
    sets: Path, run: Run, option: str, message: str
) -> None:
    code, _, err = run(f"bench neural --data {sets} {option}")
    assert (code, message in err) == (2, True), err


def test_the_fastest_retraining_is_the_first_to_be_good_enough() -> None:
    from alteraser.bench.neural.run import fastest

    def record(total: float, *trace: tuple[float, float]) -> dict[str, Any]:
        entries = [{"cpu_seconds": seconds, "score": score} for seconds, score in trace]
        return {"metrics": {"cpu_seconds": total}, "trace": entries}

    slow = record(9.0, (3.0, 0.5), (6.0, 0.991), (9.0, 1.0))
    assert fastest({"retrain": slow}) == 6.0
    assert fastest({"retrain": slow, "retrain-fast": record(2.0, (1.0, 0.8), (2.0, 0.995))}) == 2.0
    assert fastest({"retrain": slow, "retrain-fast": record(2.0, (1.0, 0.8), (2.0, 0.9))}) == 6.0
    assert fastest({"retrain": slow, "warm-start": record(1.0, (1.0, 1.0))}) == 6.0
