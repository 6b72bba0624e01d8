"""What the demonstration computes: one scene (data, forget set, titles), three models, and measures
of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alteraser import metrics
from alteraser.data.interactions import Interactions
from alteraser.data.sets import inject_noise
from alteraser.data.sets.household import CHILD_CATEGORY, HouseholdData
from alteraser.erasers import AltEraser, PassRecord, Retrain
from alteraser.errors import NotFound
from alteraser.models.factorization.model import Model
from alteraser.verbs.erasure import Erasure
from alteraser.verbs.evaluate import compare, evaluate
from alteraser.verbs.forget import forget
from alteraser.verbs.train import ENMF

OnPass = Callable[[PassRecord], None]
LIST = 10


@dataclass(frozen=True)
class DemoScene:
    """What the demonstration is about."""

    title: str
    story: str
    polluted: Interactions
    """D_a, what the original is trained on"""
    forget: Interactions
    """D_f"""
    test: Interactions
    """held out, for accuracy"""
    account: Any
    """id of the user whose lists are shown; None for the one whose list changes most"""
    titles: Mapping[Any, tuple[str, str]]
    """item id → (title, category)"""
    flagged_category: str | None
    """items of this category are marked in the lists"""
    flagged_words: str = ""


@dataclass(frozen=True)
class Demo:
    """What the demonstration measured."""

    scene: DemoScene
    original: Model
    unlearned: Erasure[Model]
    retrained: Erasure[Model]
    plain: Erasure[Model] | None
    """the same passes without acceleration, for the plot"""
    train_seconds: float
    train_residual: float
    re_predict: tuple[float, float, float]
    """original, unlearned, retrained"""
    accuracy: tuple[dict[str, float], ...]
    agreement: tuple[dict[str, float], ...]
    """``compare`` of original and unlearned with the retrained model, lists of the forgetting
    users"""
    influence_left: float
    gap_left: float
    account: Any
    lists: tuple[list[Any], ...]
    """item ids of the account's lists by the three models"""

    @property
    def models(self) -> tuple[Model, Model, Model]:
        """original, unlearned, retrained"""
        return self.original, self.unlearned.model, self.retrained.model


def household_scene(made: HouseholdData, *, seed: int = 0) -> DemoScene:
    """A child's month of gaming videos on a parent's account; a fifth of everything else is held
    out.
    """
    story = made.story("child")
    everything = Interactions.from_table(made.interactions.select(["user_id", "item_id"]))
    removal = everything.remove(story.forget)
    train, test = removal.remaining.split(0.2, seed=seed)
    items = made.items.to_pydict()
    titles = {
        i: (t, c)
        for i, t, c in zip(items["item_id"], items["title"], items["category"], strict=True)
    }
    return DemoScene(
        title=story.title,
        story=story.text,
        polluted=train.add(removal.removed),
        forget=removal.removed,
        test=test,
        account=story.users[0],
        titles=titles,
        flagged_category=CHILD_CATEGORY,
        flagged_words=CHILD_CATEGORY.lower(),
    )


def noise_scene(folder: Path, *, users: int = 64, seed: int = 0) -> DemoScene:
    """The paper's scenario on real data: false clicks injected into some histories, then deleted
    (Liu et al. 2022).
    """
    data = Interactions.read(folder, duplicates="first")
    train, test = data.split(0.2, seed=seed)
    scenario = inject_noise(train, users=users, seed=seed)
    return DemoScene(
        title=f"False clicks in {users} histories",
        story=(
            f"{len(data):,} real interactions were read from {folder.name}. For {users} random "
            "users, half as many false clicks as they have real ones were added before training: "
            "a shared screen, a bot, a slip. Now they must go, and the model must become what it "
            "would have been without them."
        ),
        polluted=scenario.polluted,
        forget=scenario.noise,
        test=test,
        account=None,
        titles=_titles(folder if folder.is_dir() else folder.parent),
        flagged_category=None,
    )


def run_demo(
    scene: DemoScene,
    *,
    factors: int = 64,
    tolerance: float = 1e-3,
    threads: int = 0,
    with_plain: bool = True,
    stage: Callable[[str, float], Any] | None = None,
) -> Demo:
    """Train on ``scene.polluted``, forget ``scene.forget``, retrain from another seed, and measure
    all three.

    ``stage(label, tolerance)`` gives a context for each long step; who wants to know how far one is
    listens to ``runtime.events``.
    """
    from contextlib import nullcontext

    enter = stage or (lambda label, tolerance: nullcontext())
    _compile(scene.polluted)
    with enter("training the original", 1e-5):
        began = time.perf_counter()
        original, outcome = ENMF(factors=factors, threads=threads).run(scene.polluted)
        train_seconds = time.perf_counter() - began
    with enter("forgetting", tolerance):
        unlearned = forget(
            original,
            scene.forget,
            data=scene.polluted,
            method=AltEraser(tolerance=tolerance),
            threads=threads,
        )
    with enter("retraining without it", tolerance):
        retrained = forget(
            original,
            scene.forget,
            data=scene.polluted,
            method=Retrain(tolerance=tolerance, seed=1),
            threads=threads,
        )
    plain = None
    if with_plain:
        with enter("plain passes, for comparison", tolerance):
            # four products cost about as much as a pass: the same work, spent the paper's way
            passes = max(unlearned.work.passes + unlearned.work.products // 4, 2)
            method = AltEraser(tolerance=tolerance, solver="ah-newton", memory=0, max_passes=passes)
            plain = forget(
                original,
                scene.forget,
                data=scene.polluted,
                method=method,
                threads=threads,
            )
    with enter("measuring", tolerance):
        return _measure(
            scene, original, unlearned, retrained, plain, train_seconds, outcome.residual
        )


def _measure(
    scene: DemoScene,
    original: Model,
    unlearned: Erasure[Model],
    retrained: Erasure[Model],
    plain: Erasure[Model] | None,
    train_seconds: float,
    train_residual: float,
) -> Demo:
    models = (original, unlearned.model, retrained.model)
    remaining = unlearned.remaining
    users = unlearned.removed.users.ids_of(np.unique(unlearned.removed.user_rows))
    users = users.filter(pa.array(unlearned.model.users.rows_of(users) >= 0))
    cells = unlearned.removed.user_rows, unlearned.removed.indices
    reference = models[2]
    account = scene.account
    if account is None:
        account = _most_changed(original, reference, remaining, users)
    lists = tuple(
        [
            entry["item_id"]
            for entry in model.recommend([account], k=LIST, seen=remaining).to_list()[0]["items"]
        ]
        for model in models
    )
    return Demo(
        scene=scene,
        original=original,
        unlearned=unlearned,
        retrained=retrained,
        plain=plain,
        train_seconds=train_seconds,
        train_residual=train_residual,
        re_predict=tuple(metrics.re_predict(model.factors, *cells) for model in models),  # type: ignore[arg-type]
        accuracy=tuple(evaluate(model, scene.test, data=remaining) for model in models),
        agreement=tuple(
            compare(model, reference, data=remaining, users=users) for model in models[:2]
        ),
        influence_left=metrics.influence_left(
            unlearned.model.factors, reference.factors, original.factors
        ),
        gap_left=_gap(
            unlearned.work.objective_after,
            unlearned.work.objective_before,
            retrained.work.objective_after,
        ),
        account=account,
        lists=lists,
    )


def _gap(unlearned: float | None, original: float | None, retrained: float | None) -> float:
    """``gap_left``; NaN where the retrain did not get below the original, which says more about the
    retrain.
    """
    assert unlearned is not None
    assert original is not None
    assert retrained is not None
    return (
        metrics.gap_left(unlearned, original, retrained) if original > retrained else float("nan")
    )


def _most_changed(
    original: Model, reference: Model, remaining: Interactions, users: pa.Array
) -> Any:
    rows = original.users.rows_of(users)
    first, _ = original.top_items(rows, k=LIST, seen=remaining)
    second, _ = reference.top_items(rows, k=LIST, seen=remaining)
    return users[int(np.argmin(metrics.rank_biased_overlap(first, second)))].as_py()


def _compile(data: Interactions) -> None:
    """Compile (or load) the kernels on a sliver of the data, so that no measured time contains
    it.
    """
    rows = np.arange(len(data)) < 2000
    sliver = data.keep(rows)
    model = ENMF(factors=4, max_passes=30).fit(sliver)
    forget(
        model,
        sliver.keep(np.arange(len(sliver)) == 0),
        data=sliver,
        method=AltEraser(max_passes=30),
    )


def _titles(folder: Path) -> dict[Any, tuple[str, str]]:
    """Titles and categories from items.parquet, as far as it has them."""
    path = folder / "items.parquet"
    if not path.is_file():
        return {}
    table = pq.read_table(path)
    if "item_id" not in table.column_names:
        raise NotFound(f"{path} has no column item_id (it has {', '.join(table.column_names)})")
    names = next(
        (table[c] for c in ("title", "name", "asin") if c in table.column_names), table["item_id"]
    )
    groups = next(
        (table[c] for c in ("category", "genres", "categories") if c in table.column_names), None
    )

    def text(value: Any) -> str:
        return ", ".join(str(v) for v in value) if isinstance(value, list) else str(value or "")

    categories = [""] * table.num_rows if groups is None else [text(g) for g in groups.to_pylist()]
    return {
        i: (str(n) if n is not None else str(i), c)
        for i, n, c in zip(table["item_id"].to_pylist(), names.to_pylist(), categories, strict=True)
    }
