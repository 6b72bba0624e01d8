"""alteraser bench networks: ways to make a network forget, beside training it again from the same
seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from alteraser import metrics
from alteraser.bench.common import clocked, machine, numbers, table, words
from alteraser.cli import common, completion, inputs
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.models.networks.training import TrainingProgress

Array = npt.NDArray[Any]

NETWORKS = ("gru4rec", "sasrec", "ncf")
OTHERS = 512
"""Sessions of people who asked for nothing whose lists are compared"""
SAMPLE = 20_000
"""Places by which the curvature of an item's row is told"""
DAMPING = 0.1
"""Of the mean of its diagonal, what is added to it"""


def networks(
    data: Annotated[Path, typer.Argument(help="Events.")],
    models: Annotated[
        str, typer.Option("--models", help=f"Of {', '.join(NETWORKS)}, with commas.")
    ] = "gru4rec,sasrec",
    users: Annotated[
        int, typer.Option("--users", min=1, help="Who asks: half of their events are to go.")
    ] = 64,
    passes: Annotated[
        str, typer.Option("--passes", help="Of warm starts and rewinding, with commas.")
    ] = "1,3",
    sessions: Annotated[
        int, typer.Option("--sessions", min=0, help="Only so many, the latest; 0: all.")
    ] = 0,
    core: Annotated[
        int, typer.Option("--core", min=1, help="Only items with so many events at least.")
    ] = 1,
    epochs: Annotated[
        int, typer.Option("--epochs", min=0, help="Passes of training; 0: each model's own.")
    ] = 0,
    dtype: Annotated[
        str,
        typer.Option("--dtype", autocompletion=completion.DTYPE, help="float32 or float64."),
    ] = "float32",
    timestamp_column: common.TimestampColumn = None,
    session_column: common.SessionColumn = None,
    session_gap: common.SessionGap = None,
    position_column: common.PositionColumn = None,
) -> int:
    """Sequence models made to forget half of what some people had, each way beside a retraining.

    Lists are what follows the sessions that remain, their last event held out; the reference is
    training on the remaining events from the same seed, which is what forget does.

    Example: alteraser bench networks ratings.parquet --session-gap 10000d --timestamp-column
    timestamp
    """
    from alteraser.data.interactions import Interactions
    from alteraser.models.registry import KINDS
    from alteraser.runtime.extras import require

    require("torch", "torch", "bench networks")
    asked = [int(number) for number in numbers(passes, "--passes")]
    kinds = words(models, "--models", NETWORKS)
    reading = inputs.reading_options(
        timestamp_column=timestamp_column,
        session_column=session_column,
        session_gap=session_gap,
        position_column=position_column,
    )
    print(f"{machine()}\n")
    for name in kinds:
        own = {"epochs": epochs} if epochs else {}
        kind: Any = KINDS[name].model_validate({"dtype": dtype, **own})
        if not all(0 < count < kind.epochs for count in asked):
            raise InvalidInput(f"--passes {passes}: expected 1 to {kind.epochs - 1}, with commas")
        kind.check_reading(reading)
        whole = Interactions.read(data, reading)
        scene: Any = PairsHeldOut.of(whole, users)
        if kind.of_events():
            scene = Sessions.of(smaller(whole, sessions, core), users)
        print(f"### {name}: {scene.words}\n", flush=True)
        header = ["", "RBO@10, asked", "overlap", "RBO@10, others", "overlap", "distance", "memory"]
        table(
            [*header, "HR@10", "NDCG@10", "CPU s", "of a retrain"], list(rows(kind, scene, asked))
        )
    return 0


def smaller(data: Interactions, sessions: int, core: int) -> Interactions:
    """The latest ``sessions`` of ``data`` (0: all), and of these items with ``core`` events."""
    if data.events is None:
        raise InvalidInput("say what a session is: --session-column or --session-gap")
    if sessions:
        starts = data.events.at[data.events.indptr[:-1]]
        late = np.zeros(starts.size, bool)
        late[np.argsort(starts)[-sessions:]] = True
        data = data.keep_events(late[data.events.numbers])
    while core > 1:
        assert data.events is not None
        counts = np.bincount(data.events.items, minlength=data.shape[1])
        keep = (counts >= core)[data.events.items]
        if keep.all():
            break
        data = data.keep_events(keep)
    return data


@dataclass(frozen=True)
class Sessions:
    """What is trained on, what goes, and the sessions that are continued."""

    before: Interactions
    after: Interactions
    shown: list[Array]
    """Items of each session that remains"""
    wanted: Array
    """What followed it"""
    asked: Array
    """Which of them are of people who asked"""
    gone: list[tuple[Array, int]]
    """What came before each event that is to go, in the original, and its item"""

    @property
    def words(self) -> str:
        """How much there is."""
        assert self.before.events is not None
        assert self.after.events is not None
        return (
            f"{len(self.before.events):,} events in {self.before.events.owners.size:,} sessions "
            f"over {int((self.before.item_counts > 0).sum()):,} items, of which "
            f"{len(self.before.events) - len(self.after.events):,} are to go"
        )

    @classmethod
    def of(cls, whole: Interactions, users: int) -> Sessions:
        """Everybody's last event of a session of three or more is held out; of ``users`` with three
        others, half go.
        """
        events, rng = whole.events, np.random.default_rng(0)
        assert events is not None
        last = np.zeros(len(events), bool)
        last[events.indptr[1:][np.diff(events.indptr) >= 3] - 1] = True
        following = events.items[last]
        before = whole.keep_events(~last)
        events = before.events
        assert events is not None
        counts = np.bincount(events.users, minlength=whole.shape[0])
        who = rng.permutation(np.flatnonzero(counts >= 4))[:users]
        goes = np.isin(events.users, who) & (rng.random(len(events)) < 0.5)
        goes &= np.isin(events.items, events.items[~goes])  # no item goes whole
        after = before.keep_events(~goes)
        left = after.events
        assert left is not None
        held = whole.events.numbers[last]  # type: ignore[union-attr]
        kept = np.unique(events.numbers[~goes], return_inverse=True)
        new = dict(zip(kept[0].tolist(), range(kept[0].size), strict=True))
        places = [at for at, number in enumerate(held) if int(number) in new]
        groups = [new[int(held[at])] for at in places]
        shown = [left.items[left.indptr[g] : left.indptr[g + 1]] for g in groups]
        gone = [
            (events.items[events.indptr[events.numbers[at]] : at], int(events.items[at]))
            for at in np.flatnonzero(goes)
            if at > events.indptr[events.numbers[at]]
        ]
        asked = np.isin(left.owners[groups], who)
        return cls(before, after, shown, following[places].astype(np.int64), asked, gone)

    def lists(self, kind: Any, state: Any) -> Array:
        """Ten items that may follow each session."""
        found = np.empty((len(self.shown), 10), np.int64)
        for part, block in self._scores(kind, state, self.shown):
            found[part] = best(block)
        return found

    def memory(self, kind: Any, state: Any) -> Array:
        """(gone,) log of how likely each event that is to go was, after what came before it."""
        found = np.empty(len(self.gone))
        wanted = np.array([item for _, item in self.gone])
        for part, block in self._scores(kind, state, [session for session, _ in self.gone]):
            top = block.max(axis=1, keepdims=True)
            norm = top[:, 0] + np.log(np.exp(block - top).sum(axis=1))
            found[part] = block[np.arange(len(block)), wanted[part]] - norm
        return found

    def _scores(
        self, kind: Any, state: Any, sessions: list[Array]
    ) -> Iterator[tuple[slice, Array]]:
        formed = kind.formed(state, None)
        for start in range(0, len(sessions), 128):
            part = sessions[start : start + 128]
            block = np.empty((len(part), formed.places.size))
            kind.continued_all(formed, part, block, list(range(len(part))))
            yield slice(start, start + 128), block


@dataclass(frozen=True)
class PairsHeldOut:
    """The same of users and items: somebody's last item, or any, is held out."""

    before: Interactions
    after: Interactions
    rows: Array
    """Whose lists are looked at"""
    wanted: Array
    asked: Array
    gone: tuple[Array, Array]
    """(users, items) of what is to go"""

    @property
    def words(self) -> str:
        """How much there is."""
        users, items = (
            int((counts > 0).sum()) for counts in (self.before.user_counts, self.before.item_counts)
        )
        return (
            f"{len(self.before):,} interactions of {users:,} users and {items:,} items, of which "
            f"{len(self.gone[0]):,} are to go"
        )

    @classmethod
    def of(cls, whole: Interactions, users: int) -> PairsHeldOut:
        """One item of everybody with three is held out; of ``users`` with four others, half go."""
        rng = np.random.default_rng(0)
        order = rng.random(len(whole))
        if whole.timestamp is not None:
            order = whole.timestamp.astype(np.float64)
        by_time = np.lexsort((order, whole.user_rows))
        ends = by_time[np.cumsum(whole.user_counts)[whole.user_counts >= 3] - 1]
        last = np.zeros(len(whole), bool)
        last[ends] = True
        rows, wanted = whole.user_rows[last], whole.indices[last].astype(np.int64)
        before = whole.keep(~last)
        who = rng.permutation(np.flatnonzero(before.user_counts >= 4))[:users]
        goes = np.isin(before.user_rows, who) & (rng.random(len(before)) < 0.5)
        goes &= np.isin(before.indices, before.indices[~goes])  # no item goes whole
        after = before.keep(~goes)
        left = after.user_counts[rows] > 0
        gone = before.user_rows[goes], before.indices[goes].astype(np.int64)
        return cls(before, after, rows[left], wanted[left], np.isin(rows[left], who), gone)

    def lists(self, kind: Any, state: Any) -> Array:
        """Ten items for each, without those that they have."""
        from alteraser.models.ranking import mask_seen

        found, formed = np.empty((len(self.rows), 10), np.int64), kind.formed(state, None)
        for start in range(0, len(self.rows), 128):
            part = self.rows[start : start + 128]
            block = kind.scores(formed, part, None)
            mask_seen(block, part, self.after)
            found[start : start + 128] = best(block)
        return found

    def memory(self, kind: Any, state: Any) -> Array:
        """(gone,) the logit of each interaction that is to go."""
        users, items = self.gone
        who, at = np.unique(users, return_inverse=True)
        return np.asarray(kind.scores(kind.formed(state, None), who, None)[at, items])


def best(block: Array) -> Array:
    """The ten items of the largest scores in each row."""
    from alteraser.models.ranking import fill_best

    found = np.full((len(block), 10), -1, np.int64)
    fill_best(block, found, np.empty((len(block), 10)))
    return found


def overlap(one: Array, reference: Array) -> float:
    """The share of ``reference``, without places that are empty (−1), that is in ``one`` too.

    >>> overlap(np.array([3, 1, -1]), np.array([1, 2, -1])), overlap(np.array([-1]), np.array([-1]))
    (0.5, 1.0)
    """
    listed = reference[reference >= 0]
    return np.intersect1d(one, listed).size / listed.size if listed.size else 1.0


def compared(scene: Sessions | PairsHeldOut) -> tuple[Array, Array]:
    """Places in the lists of those who asked, and of some others."""
    asked, others = np.flatnonzero(scene.asked), np.flatnonzero(~scene.asked)
    return asked, np.random.default_rng(1).permutation(others)[:OTHERS]


def rows(kind: Any, scene: Sessions | PairsHeldOut, passes: list[int]) -> Iterator[list[str]]:
    """A row of the table for each way."""
    marks: dict[int, TrainingProgress] = {}
    original, spent, _ = clocked(lambda: trained(kind, scene.before, marks))
    retrained, cost, _ = clocked(lambda: kind.state(scene.after))
    other = kind.model_copy(update={"seed": kind.seed + 1})
    ways: dict[str, Callable[[], Any]] = {
        "trained again, other seed": lambda: other.state(scene.after)
    }
    for k in passes:
        ways[f"warm start, {some(k)}"] = lambda k=k: warm(kind, original, scene.after, k)  # type: ignore[misc]
    for k in passes:
        ways[f"rewound by {some(k)}"] = lambda k=k: rewound(kind, marks, scene.after, k)  # type: ignore[misc]
    if isinstance(scene, Sessions):
        ways["rows of items, second order"] = lambda: items_solved(kind, original, scene)
    seen = Seen(kind, scene, original, retrained)
    yield seen.row("original", original, spent, cost)
    yield seen.row("**trained again, same seed**", retrained, cost, cost)
    for name, way in ways.items():
        state, seconds, _ = clocked(way)
        yield seen.row(name, state, seconds, cost)


def some(passes: int) -> str:
    """``1 pass``"""
    return f"{passes} pass{'es' if passes > 1 else ''}"


def trained(kind: Any, data: Interactions, marks: dict[int, TrainingProgress]) -> Any:
    """``kind.state(data)``; ``marks`` gets the training before each pass."""
    from alteraser.models.networks import training

    task = kind.task(data)
    progress = training.TrainingProgress.at(task.start())
    for number in range(kind.epochs):
        marks[number] = progress.copy()
        training.one_pass(task, progress, number)
    return kind.kept(progress.result(), task)


def warm(kind: Any, state: Any, data: Interactions, passes: int) -> Any:
    """The last ``passes`` of the training once more, from its result, at the rates of these."""
    import torch

    from alteraser.models.networks import training

    share = passes / kind.epochs
    shorter = kind.model_copy(
        update={"epochs": passes, "learning_rate": kind.learning_rate * share}
    )
    task = shorter.task(data)
    weights = {name: torch.from_numpy(x.copy()) for name, x in state.items()}
    for name, present in kind.tables(task).items():
        weights[name] = weights[name][torch.from_numpy(present.rows)]
    progress = training.TrainingProgress.at(weights)
    for number in range(kind.epochs - passes, kind.epochs):
        training.one_pass(task, progress, number)
    return kind.kept(progress.result(), task)


def rewound(kind: Any, marks: dict[int, TrainingProgress], data: Interactions, passes: int) -> Any:
    """The last ``passes`` of the original's training without what is to go, from where it was
    before them.
    """
    from alteraser.models.networks import training

    task = kind.task(data)
    progress = marks[kind.epochs - passes].copy()
    for name, present in kind.tables(task).items():
        if len(progress.weights[name]) != present.rows.size:
            raise InvalidInput(f"one of {name} goes whole: forget less of it")
    for number in range(kind.epochs - passes, kind.epochs):
        training.one_pass(task, progress, number)
    return kind.kept(progress.result(), task)


def items_solved(kind: Any, state: Any, scene: Sessions) -> Any:
    """A damped Newton step in the rows of the items concerned, the network held, anchored.

    E_v += H_v⁻¹ (Σ_{D_a} − Σ_{D_r}) ∂L/∂E_v, H_v = Σ p(1 − p) h hᵀ over a sample of the places
    that remain: what the influence function gives, row by row.
    """
    import torch

    from alteraser.models.networks import next_item, training

    task = kind.task(scene.before)
    items, before, after = task.items, task.windows, kind.task(scene.after).windows
    weights = {name: torch.from_numpy(x.astype(np.float64)) for name, x in state.items()}
    table = weights["items"] = weights["items"][torch.from_numpy(items.rows)]
    encoder = kind.encoder()

    def places(windows: Any, chosen: Array) -> tuple[Any, Any]:
        found, following = windows.padded(chosen)
        there = following >= 0
        hidden = next_item.encoded(encoder, weights, found)[torch.from_numpy(there)]
        return hidden, torch.from_numpy(following[there])

    def slope(windows: Any, chosen: Array) -> Any:
        hidden, wanted = places(windows, chosen)
        return next_item.softmax(hidden, table, wanted)[2] * len(wanted)

    # everybody else's windows are in both, and their terms are the same
    assert scene.before.events is not None
    both = np.intersect1d(before.keys, after.keys)
    same = same_windows(before, after, both)
    with training.alone(), torch.no_grad():
        push = slope(after, np.flatnonzero(~np.isin(after.keys, same)))
        push -= slope(before, np.flatnonzero(~np.isin(before.keys, same)))
        order = np.random.default_rng(2).permutation(len(after))
        counts = np.cumsum((after.sizes - 1)[order])
        hidden, _ = places(after, order[: int(np.searchsorted(counts, SAMPLE)) + 1])
        scale = counts[-1] / len(hidden)
        share = torch.softmax(hidden @ table.T, 1)
        share = share * (1.0 - share)
        for row in np.unique(items.places()[[item for _, item in scene.gone]]):
            block = (hidden * share[:, row, None]).T @ hidden * scale
            block += DAMPING * block.diagonal().mean() * torch.eye(len(block), dtype=block.dtype)
            table[row] -= torch.linalg.solve(block, push[row])
    found = {name: x.to(torch.from_numpy(state[name]).dtype) for name, x in weights.items()}
    return kind.kept(found, task)


def same_windows(before: Any, after: Any, both: Array) -> Array:
    """Keys of ``both`` whose windows hold the same items."""
    place = {int(key): at for at, key in enumerate(before.keys)}
    found = []
    for at in np.flatnonzero(np.isin(after.keys, both)):
        other = place[int(after.keys[at])]
        one, two = (
            windows.items[windows.starts[i] : windows.starts[i] + windows.sizes[i]]
            for windows, i in ((after, at), (before, other))
        )
        if np.array_equal(one, two):
            found.append(after.keys[at])
    return np.array(found, np.uint64)


class Seen:
    """What the table says of a state."""

    def __init__(
        self, kind: Any, scene: Sessions | PairsHeldOut, original: Any, retrained: Any
    ) -> None:
        self.kind, self.scene, self.retrained = kind, scene, retrained
        self.lists = scene.lists(kind, retrained)
        self.known = scene.memory(kind, retrained)
        self.far = self._far(original)

    def row(self, name: str, state: Any, seconds: float, cost: float) -> list[str]:
        """Agreement, distance, memory, accuracy and cost."""
        lists = self.scene.lists(self.kind, state)
        agreed = []
        for places in compared(self.scene):
            one, other = lists[places], self.lists[places]
            shared = [overlap(*pair) for pair in zip(one, other, strict=True)]
            rbo = float(metrics.rank_biased_overlap(one, other).mean())
            agreed += [f"{rbo:.3f}", f"{np.mean(shared):.3f}"]
        indptr = np.arange(len(lists) + 1)
        accurate = (
            f"{float(measure(lists, indptr, self.scene.wanted, 10).mean()):.4f}"
            for measure in (metrics.recall_at_k, metrics.ndcg_at_k)
        )
        distance = f"{self._far(state) / self.far:.2f}" if self.far else "–"
        memory = f"{float((self.scene.memory(self.kind, state) - self.known).mean()):+.3f}"
        spent = [f"{seconds:.1f}", f"{seconds / cost:.2f}"]
        return [name, *agreed, distance, memory, *accurate, *spent]

    def _far(self, state: Any) -> float:
        return float(
            sum(np.sum((state[name] - x) ** 2.0) for name, x in self.retrained.items()) ** 0.5
        )
