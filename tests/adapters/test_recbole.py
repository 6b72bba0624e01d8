"""RecBole's checkpoints, as RecBole 1.2.1 wrote them (``fixtures/recbole/make_recbole.py``)."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import parted
from contract import FIXTURES, AdapterContract

from alteraser.adapters import Changed, Foreign, ForeignErasing, ForeignOptions
from alteraser.adapters._pickle import Call
from alteraser.adapters._pickled import array
from alteraser.adapters._recbole_enmf import RecBoleENMF
from alteraser.adapters._recbole_ids import maps, read_dump
from alteraser.adapters._recbole_neural import propagated
from alteraser.adapters._torch_zip import TorchArchive
from alteraser.adapters.recbole import ADAPTER
from alteraser.data.deletion import Deletion
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput, NotFound

FOLDER = FIXTURES / "recbole"
WITH_IDS = ForeignOptions(users_map=FOLDER / "toy.inter")


def read(name: str, options: ForeignOptions = WITH_IDS) -> Foreign:
    return ADAPTER.read(FOLDER / f"{name}.pth", options)


def training_data(foreign: Foreign) -> Interactions:
    return Interactions.read(FOLDER / "train.csv", users=foreign.user_ids, items=foreign.item_ids)


class RecBoleContract(AdapterContract):
    adapter = ADAPTER
    options = WITH_IDS
    shape = (40, 25, 4)

    def test_only_the_changed_rows_moments_are_scrubbed(self, copy: Path, tmp_path: Path) -> None:
        foreign = self.read(copy)
        out = tmp_path / "out.pth"
        ADAPTER.write(foreign, self.changed(foreign, [2, 5], erased=[3]), out)
        again = self.read(out)
        rows = {"user": [3, 4, 6], "item": [2]}  # row i of ours is i + 1 there
        seen = 0
        for moment in foreign.state.moments:
            side, tensor = moment.side, moment.tensor
            before, after = foreign.state.archive.array(tensor), again.state.archive.array(tensor)
            if not side:
                np.testing.assert_array_equal(after, before)
                continue
            seen += 1
            assert not after[rows[side]].any()
            others = np.setdiff1d(np.arange(before.shape[0]), rows[side])
            np.testing.assert_array_equal(after[others], before[others])
            assert before[rows[side]].any()
        assert seen >= 4

    def test_only_members_of_changed_tensors_differ(self, copy: Path, tmp_path: Path) -> None:
        foreign = self.read(copy)
        out = tmp_path / "out.pth"
        ADAPTER.write(foreign, self.changed(foreign, [2]), out)
        with zipfile.ZipFile(copy) as before, zipfile.ZipFile(out) as after:
            assert after.testzip() is None  # the checksums are those of the new bytes
            assert [(i.filename, i.header_offset) for i in after.infolist()] == [
                (i.filename, i.header_offset) for i in before.infolist()
            ]
            moved = {name for name in before.namelist() if before.read(name) != after.read(name)}
        archive = foreign.state.archive
        tables = {tensor for places in foreign.state.tables for tensor, _ in places}
        tables |= {moment.tensor for moment in foreign.state.moments if moment.side}
        tables |= {
            foreign.state.further[name]
            for name in ("restore_user_e",)
            if name in foreign.state.further
        }
        assert moved == {f"{archive.root}/data/{tensor.key}" for tensor in tables}

    def test_the_padding_row_stays(self, copy: Path, tmp_path: Path) -> None:
        foreign = self.read(copy)
        out = tmp_path / "out.pth"
        ADAPTER.write(foreign, self.changed(foreign, list(range(40))), out)
        for places in foreign.state.tables:
            for tensor, _ in places:
                np.testing.assert_array_equal(
                    TorchArchive(out).array(tensor)[0], TorchArchive(copy).array(tensor)[0]
                )


class TestENMF(RecBoleContract):
    fixture = FOLDER / "ENMF.pth"


class TestBPR(RecBoleContract):
    fixture = FOLDER / "BPR.pth"


class TestNeuMF(RecBoleContract):
    fixture = FOLDER / "NeuMF.pth"
    shape = (40, 25, 8)


class TestGMF(RecBoleContract):
    fixture = FOLDER / "GMF.pth"


class TestLightGCN(RecBoleContract):
    fixture = FOLDER / "LightGCN.pth"

    def changed(
        self, foreign: Foreign, users: list[int], erased: list[int] | None = None
    ) -> Changed:
        plain = super().changed(foreign, users, erased)
        return replace(plain, further={name: value + 1 for name, value in foreign.further.items()})

    def test_stale_propagated_embeddings_are_not_left_behind(
        self, copy: Path, tmp_path: Path
    ) -> None:
        foreign = self.read(copy)
        with pytest.raises(InvalidInput, match=r"restore_user_e.*last evaluation"):
            ADAPTER.write(
                foreign, replace(self.changed(foreign, [2]), further={}), tmp_path / "out.pth"
            )
        assert not (tmp_path / "out.pth").exists()

    def test_propagation_is_that_of_the_library(self) -> None:
        # RecBole kept the propagated embeddings of its last evaluation: two routes to one answer
        foreign = read("LightGCN")
        users, items = propagated(training_data(foreign), foreign.users, foreign.items, 2)
        np.testing.assert_allclose(
            users, foreign.further["restore_user_e"][1:], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            items, foreign.further["restore_item_e"][1:], rtol=1e-5, atol=1e-6
        )


# ---------------------------------------------------------------- self-checks


@pytest.mark.parametrize("name", ["ENMF", "BPR", "LightGCN", "NeuMF", "GMF"])
def test_the_training_data_pass_and_mixed_up_users_do_not(name: str) -> None:
    foreign = read(name)
    data = training_data(foreign)
    check = foreign.loss.check(foreign, data)
    assert check.passed, check.measures
    assert foreign.user_ids is not None
    order = np.random.default_rng(1).permutation(40)
    mixed = IdMap(foreign.user_ids.ids.take(order), foreign.user_ids.rows, 40)
    wrong = Interactions.read(FOLDER / "train.csv", users=mixed, items=foreign.item_ids)
    check = foreign.loss.check(foreign, wrong)
    assert not check.passed
    with pytest.raises(IntegrityError, match=rf"{name}.pth does not fit these data.*user \d+"):
        check.require(foreign.path)


def test_lightgcn_without_an_evaluation_is_not_accused_and_says_why() -> None:
    """Its kept embeddings told everything; ranks over the graph of these data tell nothing."""
    foreign = read("LightGCN")
    data = training_data(foreign)
    assert not foreign.loss.check(foreign, data).blind
    bare = replace(foreign, further={})
    order = np.random.default_rng(1).permutation(40)
    wrong = Interactions._assemble(
        data.users, data.items, order[data.user_rows], data.indices, None, None, None, "refuse"
    )
    for given in (data, wrong):
        found = bare.loss.check(bare, given)
        assert found.passed
        assert "whether these are the data" in found.to_document()["does_not_see"]
    assert not foreign.loss.check(foreign, wrong).passed


# ---------------------------------------------------------------- ENMF's loss


@pytest.fixture
def enmf() -> tuple[RecBoleENMF, Foreign, Interactions]:
    foreign = read("ENMF")
    assert isinstance(foreign.loss, RecBoleENMF)
    loss = replace(
        foreign.loss,
        norm_weight=0.3,
        weight_decay=0.1,
        batches=3,
        pad_item=np.array([0.2, -0.1, 0.3, 0.1]),
    )
    return loss, foreign, training_data(foreign)


def test_enmf_systems_are_half_the_gradient_of_the_loss(
    enmf: tuple[RecBoleENMF, Foreign, Interactions],
) -> None:
    loss, foreign, data = enmf
    P, Q = foreign.users.astype(np.float64), foreign.items.astype(np.float64)
    for x, side in ((P, loss.users(data, P, Q)), (Q, loss.items(data, P, Q))):
        for row in (0, 7):
            A, b = side.system(row)
            expected = np.empty(4)
            for k in range(4):
                values = []
                for step in (1e-6, -1e-6):
                    x[row, k] += step
                    values.append(loss.objective(data, P, Q))
                    x[row, k] -= step
                expected[k] = (values[0] - values[1]) / 2e-6
            np.testing.assert_allclose(2 * (A @ x[row] - b), expected, rtol=1e-4, atol=1e-6)


def test_enmf_loss_is_recboles_averaged_over_the_dropout(
    enmf: tuple[RecBoleENMF, Foreign, Interactions],
) -> None:
    # the terms as RecBole adds them up, user by user with histories padded by item 0, over all
    # dropout masks
    loss, foreign, data = enmf
    P, Q = foreign.users.astype(np.float64), foreign.items.astype(np.float64)
    h, w0, r = loss.prediction, loss.missing_weight, loss.dropout
    table = np.vstack([loss.pad_item, Q])
    longest = data.user_counts.max()
    total = w0 * np.sum((np.vstack([P, loss.pad_user]) * h @ table.T) ** 2)
    masks = np.array(np.meshgrid(*[[0, 1]] * 4)).reshape(4, -1).T
    chances = np.prod(np.where(masks, 1 - r, r), axis=1)
    for user in range(40):
        history = np.zeros(longest, int)
        mine = data.indices[data.indptr[user] : data.indptr[user + 1]]
        history[: mine.size] = mine + 1
        for mask, chance in zip(masks, chances, strict=True):
            s = (P[user] * mask / (1 - r) * h) @ table[history].T
            total += chance * np.sum((1 - w0) * s**2 - 2 * s)
    for x, row in ((P, loss.pad_user), (Q, loss.pad_item)):
        norm = np.linalg.norm(np.vstack([x, row]))
        total += 3 * (0.3 * norm + 0.1 * norm**2 / 2)
    assert data.user_counts.min() > 0
    assert loss.objective(data, P, Q) == pytest.approx(total, rel=1e-10)


def test_enmf_forgets_locally_without_finishing_its_training() -> None:
    foreign = read("ENMF")
    data = training_data(foreign)
    gone = np.zeros(len(data), bool)
    gone[np.flatnonzero(data.user_rows == 4)[:2]] = True
    task = ForeignErasing(foreign, parted(data, data.keep(~gone), data.keep(gone)))
    local, converged = foreign.loss.local(task), foreign.loss.forget(task)
    moved, further = (np.linalg.norm(done.items - foreign.items) for done in (local, converged))
    assert local.method == "local"
    assert local.residual < 0.6
    assert moved < 0.5 * further
    h = foreign.further["H_i.weight"][0]
    lost = data.indices[gone]
    scores = [float(((each.users[4] * h) @ each.items[lost].T).mean()) for each in (foreign, local)]
    assert scores[1] < scores[0]


def test_enmf_moves_nothing_where_nothing_was_deleted() -> None:
    foreign = read("ENMF")
    data = training_data(foreign)
    none = np.zeros(len(data), bool)
    done = foreign.loss.local(ForeignErasing(foreign, parted(data, data, data.keep(none))))
    assert np.allclose(done.users, foreign.users, atol=1e-5)
    assert np.allclose(done.items, foreign.items, atol=1e-5)


def test_forgetting_in_enmf_ends_at_a_minimum_on_the_rest() -> None:
    foreign = read("ENMF")
    data = training_data(foreign)
    pairs = data.to_table().slice(0, 5)
    removal = data.remove(pairs)
    task = ForeignErasing(foreign, Deletion(data, removal), tolerance=1e-2, max_passes=400)
    erased = foreign.loss.forget(task)
    assert erased.converged
    assert erased.residual <= 1e-2
    assert erased.users.dtype == foreign.users.dtype
    assert erased.objective_after < erased.objective_before
    check = foreign.loss.check(
        replace(foreign, users=erased.users, items=erased.items), removal.remaining
    )
    assert check.passed
    assert max(m.value for m in check.measures[:2]) < 1e-2


def test_a_user_without_interactions_becomes_a_zero_row() -> None:
    foreign = read("ENMF")
    data = training_data(foreign)
    assert foreign.user_ids is not None
    removal = data.remove([foreign.user_ids.ids[3].as_py()], whole_users=True)
    erased = foreign.loss.forget(ForeignErasing(foreign, Deletion(data, removal), max_passes=20))
    assert not erased.users[3].any()
    assert erased.users[2].any()


# ---------------------------------------------------------------- id maps


def test_both_sources_of_ids_agree() -> None:
    config = read("ENMF").state.config
    assert maps(FOLDER / "toy.inter", config, (40, 25)) == maps(
        FOLDER / "toy-Dataset.pth", config, (40, 25)
    )


def test_a_file_from_which_rows_were_deleted_is_refused(tmp_path: Path) -> None:
    lines = (FOLDER / "toy.inter").read_text().splitlines(keepends=True)
    shorter = tmp_path / "toy.inter"
    shorter.write_text("".join(line for line in lines if not line.startswith("u37\t")))
    with pytest.raises(IntegrityError, match=r"has 39 users, the checkpoint 40.*rows were deleted"):
        read("ENMF", ForeignOptions(users_map=shorter))


def test_filters_are_followed_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "small.inter"
    path.write_text("user_id:token\titem_id:token\nb\tx\na\ty\na\tx\nc\tz\nb\ty\n\tx\n")
    config = {"load_col": {"inter": ["user_id", "item_id"]}, "user_inter_num_interval": "[2,inf)"}
    users, items = maps(path, config, (2, 2))
    assert users.ids.to_pylist() == ["b", "a"]  # c has one interaction; the last row has no user
    assert items.ids.to_pylist() == ["x", "y"]
    with pytest.raises(InvalidInput, match=r"rm_dup_inter = 'first'.*save_dataset"):
        maps(path, config | {"rm_dup_inter": "first"}, (2, 2))
    with pytest.raises(InvalidInput, match=r"\[0,3\].*only \[k,inf\)"):
        maps(path, config | {"item_inter_num_interval": "[0,3]"}, (2, 2))
    with pytest.raises(NotFound, match=r"nowhere.inter does not exist"):
        maps(tmp_path / "nowhere.inter", config, (2, 2))


# ---------------------------------------------------------------- other files


def blocks_of(tree: Call) -> tuple[Call, ...]:
    blocks: tuple[Call, ...] = tree.attributes["inter_feat"].attributes["_mgr"].arguments[0]
    return blocks


def test_options_that_contradict_the_checkpoint_are_refused() -> None:
    with pytest.raises(
        InvalidInput, match=r"--missing-weight 0.7 contradicts .*negative_weight = 0.2"
    ):
        read("ENMF", ForeignOptions(missing_weight=0.7))
    with pytest.raises(
        InvalidInput, match=r"--regularization 0.5 contradicts .*weight_decay = 0.01"
    ):
        read("BPR", ForeignOptions(regularization=0.5))
    with pytest.raises(InvalidInput, match=r"--explicit contradicts"):
        read("BPR", ForeignOptions(implicit=False))


def test_siblings_and_their_scrubbing(tmp_path: Path) -> None:
    for path in FOLDER.glob("toy*"):
        shutil.copy(path, tmp_path)
    shutil.copy(FOLDER / "ENMF.pth", tmp_path)
    shutil.copy(FOLDER / "BPR.pth", tmp_path)
    foreign = ADAPTER.read(tmp_path / "ENMF.pth", ForeignOptions(users_map=FOLDER / "toy.inter"))
    found = {sibling.path.name: sibling for sibling in ADAPTER.siblings(tmp_path / "ENMF.pth")}
    assert set(found) == {"BPR.pth", "toy-Dataset.pth", "toy-for-BPR-dataloader.pth", "toy.inter"}
    assert "Delete it" in found["toy-for-BPR-dataloader.pth"].advice
    data = Interactions.read(FOLDER / "toy.inter", users=foreign.user_ids, items=foreign.item_ids)
    gone = data.select(users=["u37"])
    changed = Changed(
        erased_users=gone.user_rows[:1], removed=(gone.user_rows, gone.indices.astype(np.int64))
    )

    dump, inter = found["toy-Dataset.pth"], found["toy.inter"]
    assert dump.scrub is not None
    assert inter.scrub is not None
    dump.scrub(foreign, changed)
    before, after = ((folder / "toy-Dataset.pth").read_bytes() for folder in (FOLDER, tmp_path))
    for name, stays in (("u37", False), ("u74", True)):
        text = name.encode("utf-32-le")  # as NumPy keeps it
        assert text in before
        assert (text in after) == stays
    frames = [array(block.arguments[0], "") for block in blocks_of(read_dump(dump.path))]
    assert {values.shape for values in frames} == {(1, len(data) - len(gone))}

    # a whole user leaves the order of first appearance: refused, and untouched
    with pytest.raises(InvalidInput, match="serve one user's recommendations to another"):
        inter.scrub(foreign, changed)
    assert inter.path.read_bytes() == (FOLDER / "toy.inter").read_bytes()
    # the last line is nobody's first
    lines = inter.path.read_bytes().splitlines(keepends=True)
    user, item = (cell.decode() for cell in lines[-1].split(b"\t")[:2])
    assert foreign.user_ids is not None
    assert foreign.item_ids is not None
    pair = (foreign.user_ids.rows_of([user]), foreign.item_ids.rows_of([item]))
    inter.scrub(foreign, Changed(removed=pair))
    assert inter.path.read_bytes() == b"".join(lines[:-1])


def test_other_models_of_recbole_are_named(tmp_path: Path) -> None:
    # the name stands in the pickle twice; NGCF reads as long
    content = (FOLDER / "ENMF.pth").read_bytes().replace(b"\x8c\x04ENMF", b"\x8c\x04NGCF")
    path = tmp_path / "NGCF.pth"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="RecBole's NGCF; known here are ENMF"):
        ADAPTER.read(path, ForeignOptions())
