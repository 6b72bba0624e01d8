"""alteraser bench sequences: ways to make a sequence model forget, beside training it again from
the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from alteraser import metrics
from alteraser.bench.common import clocked, machine, table, words
from alteraser.cli import common
from alteraser.errors import InvalidInput

if TYPE_CHECKING:
    from alteraser.data.interactions import Interactions
    from alteraser.models.sequence.kind import SequenceKind
    from alteraser.models.sequence.training import Progress

Array = npt.NDArray[Any]

NETWORKS = ("gru4rec", "sasrec")
OTHERS = 512
"""Sessions of people who asked for nothing whose lists are compared"""
SAMPLE = 20_000
"""Places by which the curvature of an item's row is told"""
DAMPING = 0.1
"""Of the mean of its diagonal, what is added to it"""


def sequences(
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
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes of training.")] = 10,
    dtype: Annotated[str, typer.Option("--dtype", help="float32 or float64.")] = "float32",
    timestamp_column: common.TimestampColumn = None,
    session_column: common.SessionColumn = None,
    session_gap: common.SessionGap = None,
    position_column: common.PositionColumn = None,
) -> int:
    """Sequence models made to forget half of what some people had, each way beside a retraining.

    Lists are what follows the sessions that remain, their last event held out; the reference is
    training on the remaining events from the same seed, which is what forget does.

    Example: alteraser bench sequences ratings.parquet --session-gap 10000d --timestamp-column
    timestamp
    """
    from alteraser.data.interactions import Interactions
    from alteraser.models.registry import KINDS
    from alteraser.runtime.extras import require

    require("torch", "torch", "bench sequences")
    asked = [int(word) for word in words(passes, "--passes", tuple(map(str, range(1, epochs))))]
    kinds = words(models, "--models", NETWORKS)
    reading = common.reading_options(
        timestamp_column=timestamp_column,
        session_column=session_column,
        session_gap=session_gap,
        position_column=position_column,
    )
    whole = smaller(Interactions.read(data, reading), sessions, core)
    scene = Scene.of(whole, users)
    print(f"{machine()}\n")
    print(
        f"{len(scene.before.events):,} events in {scene.sessions:,} sessions over "  # type: ignore[arg-type]
        f"{int((scene.before.item_counts > 0).sum()):,} items; {users} people forget "
        f"{len(scene.before.events) - len(scene.after.events):,} events\n"  # type: ignore[arg-type]
    )
    for name in kinds:
        kind: Any = KINDS[name].model_validate({"epochs": epochs, "dtype": dtype})
        print(f"### {name}\n")
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
class Scene:
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
    def sessions(self) -> int:
        """How many there were."""
        assert self.before.events is not None
        return int(self.before.events.owners.size)

    @classmethod
    def of(cls, whole: Interactions, users: int) -> Scene:
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

    @cached_property
    def compared(self) -> tuple[Array, Array]:
        """Places in ``shown`` of those who asked, and of some others."""
        rng = np.random.default_rng(1)
        asked, others = np.flatnonzero(self.asked), np.flatnonzero(~self.asked)
        return asked, rng.permutation(others)[:OTHERS]


def rows(kind: SequenceKind, scene: Scene, passes: list[int]) -> Iterator[list[str]]:
    """A row of the table for each way."""
    marks: dict[int, Progress] = {}
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


def trained(kind: SequenceKind, data: Interactions, marks: dict[int, Progress]) -> Any:
    """``kind.state(data)``; ``marks`` gets the training after each pass."""
    from alteraser.models.sequence import training

    items, windows = kind.prepared(data)
    encoder, course = kind.encoder(), kind.course()
    progress = training.Progress.at(training.started(encoder, items, course))
    for number in range(course.epochs):
        marks[number] = progress.copy()
        training.one_pass(encoder, progress, windows, course, number)
    return kind.kept(progress.result(), items)


def fitted(kind: SequenceKind, weights: Any, data: Interactions, items: Any) -> dict[str, Any]:
    """``weights``, whose table has rows of ``items``, with those of the items of ``data`` alone."""
    places = items.places()[kind.prepared(data)[0].rows]
    return {name: x[places] if name == "items" else x for name, x in weights.items()}


def warm(kind: SequenceKind, state: Any, data: Interactions, passes: int) -> Any:
    """The last ``passes`` of the training once more, from its result, at the rates of these."""
    import torch

    from alteraser.models.sequence import training

    items, windows = kind.prepared(data)
    weights = {name: torch.from_numpy(x.copy()) for name, x in state.items()}
    weights["items"] = weights["items"][torch.from_numpy(items.rows)]
    share = passes / kind.epochs
    course = kind.model_copy(
        update={"epochs": passes, "learning_rate": kind.learning_rate * share}
    ).course()
    progress = training.Progress.at(weights)
    for number in range(kind.epochs - passes, kind.epochs):
        training.one_pass(kind.encoder(), progress, windows, course, number)
    return kind.kept(progress.result(), items)


def rewound(kind: SequenceKind, marks: dict[int, Progress], data: Interactions, passes: int) -> Any:
    """The last ``passes`` of the original's training without what is to go, from where it was
    before them.
    """
    import torch

    from alteraser.models.sequence import training

    items, windows = kind.prepared(data)
    progress = marks[kind.epochs - passes].copy()
    table = progress.weights["items"]
    if len(table) != items.rows.size:
        raise InvalidInput("an item goes whole: forget less of it")
    assert isinstance(table, torch.Tensor)
    for number in range(kind.epochs - passes, kind.epochs):
        training.one_pass(kind.encoder(), progress, windows, kind.course(), number)
    return kind.kept(progress.result(), items)


def items_solved(kind: SequenceKind, state: Any, scene: Scene) -> Any:
    """A damped Newton step in the rows of the items concerned, the network held, anchored.

    E_v += H_v⁻¹ (Σ_{D_a} − Σ_{D_r}) ∂L/∂E_v, H_v = Σ p(1 − p) h hᵀ over a sample of the places
    that remain: what the influence function gives, row by row.
    """
    import torch

    from alteraser.models.sequence import training

    items, before = kind.prepared(scene.before)
    after = kind.prepared(scene.after)[1]
    weights = {name: torch.from_numpy(x.astype(np.float64)) for name, x in state.items()}
    table = weights["items"] = weights["items"][torch.from_numpy(items.rows)]
    encoder = kind.encoder()

    def places(windows: Any, chosen: Array) -> tuple[Any, Any]:
        found, following = windows.padded(chosen)
        there = following >= 0
        hidden = training.encoded(encoder, weights, found)[torch.from_numpy(there)]
        return hidden, torch.from_numpy(following[there])

    def slope(windows: Any, chosen: Array) -> Any:
        hidden, wanted = places(windows, chosen)
        return training.softmax(hidden, table, wanted)[2] * len(wanted)

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
    return kind.kept(found, items)


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

    def __init__(self, kind: SequenceKind, scene: Scene, original: Any, retrained: Any) -> None:
        self.kind, self.scene, self.retrained = kind, scene, retrained
        self.lists = self._lists(retrained)
        self.known = self._memory(retrained)
        self.far = self._far(original)

    def row(self, name: str, state: Any, seconds: float, cost: float) -> list[str]:
        """Agreement, distance, memory, accuracy and cost."""
        lists = self._lists(state)
        agreed = []
        for places in self.scene.compared:
            one, other = lists[places], self.lists[places]
            shared = [np.intersect1d(a, b).size / 10 for a, b in zip(one, other, strict=True)]
            rbo = float(metrics.rank_biased_overlap(one, other).mean())
            agreed += [f"{rbo:.3f}", f"{np.mean(shared):.3f}"]
        indptr = np.arange(len(lists) + 1)
        accurate = (
            f"{float(measure(lists, indptr, self.scene.wanted, 10).mean()):.4f}"
            for measure in (metrics.recall_at_k, metrics.ndcg_at_k)
        )
        distance = f"{self._far(state) / self.far:.2f}" if self.far else "–"
        memory = f"{float((self._memory(state) - self.known).mean()):+.3f}"
        return [
            name, *agreed, distance, memory, *accurate, f"{seconds:.1f}", f"{seconds / cost:.2f}"
        ]  # fmt: skip

    def _far(self, state: Any) -> float:
        return float(
            sum(np.sum((state[name] - x) ** 2.0) for name, x in self.retrained.items()) ** 0.5
        )

    def _scores(self, state: Any, sessions: list[Array]) -> Iterator[tuple[slice, Array]]:
        formed = self.kind.formed(state, None)
        for start in range(0, len(sessions), 128):
            part = sessions[start : start + 128]
            block = np.empty((len(part), formed.places.size))
            self.kind.continued_all(formed, part, block, list(range(len(part))))
            yield slice(start, start + 128), block

    def _lists(self, state: Any) -> Array:
        found = np.empty((len(self.scene.shown), 10), np.int64)
        for part, block in self._scores(state, self.scene.shown):
            found[part] = np.argsort(-block, axis=1, kind="stable")[:, :10]
        return found

    def _memory(self, state: Any) -> Array:
        """(gone,) log of how likely each event that is to go was, after what came before it."""
        found = np.empty(len(self.scene.gone))
        wanted = np.array([item for _, item in self.scene.gone])
        for part, block in self._scores(state, [session for session, _ in self.scene.gone]):
            top = block.max(axis=1, keepdims=True)
            norm = top[:, 0] + np.log(np.exp(block - top).sum(axis=1))
            found[part] = block[np.arange(len(block)), wanted[part]] - norm
        return found
