"""Measuring whole models: accuracy on held-out interactions, and agreement of two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from alteraser import metrics
from alteraser.data.ids import IdMap
from alteraser.data.interactions import Interactions
from alteraser.errors import IntegrityError, InvalidInput, NotFound
from alteraser.models.closed_form.kind import Protocol
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.excluding import Excluded
from alteraser.models.protocol import Recommender
from alteraser.runtime import events
from alteraser.verbs import protocols

Array = npt.NDArray[Any]

DEPTHS = (10, 20, 50)

TrainingData = Literal["data", "data and test", "other"]


@dataclass(frozen=True)
class Coverage:
    """What of a test set an evaluation can and cannot look at, and whether the model has seen
    it.
    """

    test_interactions: int
    test_users_unknown: int
    """Users with test interactions and no row in the model (nobody like them was in training): left
    out."""

    test_interactions_of_unknown_users: int
    """What is left out with them."""

    test_interactions_of_unknown_items: int
    """Test interactions with items that the model has no row for: they count, and cannot be hit."""

    test_interactions_masked: int
    """Test interactions that are in the data as well: their items are masked, so they count and
    cannot be hit."""

    trained_on: TrainingData
    """What the model's digest says of its training: ``data`` (as it should be), ``data and test``
    together (what it ranks it has seen), or ``other`` data."""

    test_interactions_of_other_items: int = 0
    """Test interactions with items that are not among those that are ranked: left out"""

    @property
    def warnings(self) -> list[str]:
        """What makes the figures say something else than they seem to, in words."""
        said = (
            (
                self.trained_on == "data and test",
                "the model was trained on the test interactions too: this measures what it "
                "remembers, not what it predicts; train on the data without them",
            ),
            (
                self.trained_on == "other",
                "the data are not those that the model was trained on (another digest): if it has "
                "seen the test interactions, these figures are too good",
            ),
            (
                self.test_interactions_masked > 0,
                f"{self.test_interactions_masked:,} of {self.test_interactions:,} test "
                "interactions are in the data as well: their items are masked and count as "
                "missed; give data without them",
            ),
            (
                self.test_users_unknown > 0,
                f"{self.test_users_unknown:,} user(s) of the test are not in the model, with "
                f"{self.test_interactions_of_unknown_users:,} interactions: they are left out",
            ),
            (
                self.test_interactions_of_unknown_items > 0,
                f"{self.test_interactions_of_unknown_items:,} test interactions are with items "
                "that the model does not know: they count as missed",
            ),
            (
                self.test_interactions_of_other_items > 0,
                f"{self.test_interactions_of_other_items:,} of {self.test_interactions:,} test "
                "interactions are with items that are not among those ranked: they are left out",
            ),
        )
        return [words for true, words in said if true]


def coverage(
    model: Recommender, test: Interactions, *, data: Interactions, among: Any = None
) -> Coverage:
    """Counts of what `evaluate` leaves out or cannot hit, over all of ``test``; digests compared.

    Whether ``model`` was trained on both together is asked of ``data`` and what ``test`` adds to
    them.
    """
    users = model.users.rows_of(test.users.ids_of(test.user_rows), "user_id")
    items = model.items.rows_of(test.items.ids_of(test.indices), "item_id")
    protocol = protocol_of(model)
    # theirs are continued as well
    there = test.user_rows[users < 0] if protocol != "sessions" else test.user_rows[:0]
    places = data.locate(
        data.users.rows_of(test.users.ids_of(test.user_rows), "user_id"),
        data.items.rows_of(test.items.ids_of(test.indices), "item_id"),
    )
    trained: TrainingData = "other"
    if model.trained_on.digest == data.digest:
        trained = "data"
    elif model.trained_on.interactions == data.count + (
        int((places < 0).sum()) if test.events is None else test.count
    ):
        both = data.add(test, duplicates="first")
        trained = "data and test" if both.digest == model.trained_on.digest else "other"
    return Coverage(
        len(test),
        len(np.unique(there)),
        len(there),
        int(((users >= 0) & (items < 0)).sum()),
        int(((users >= 0) & (places >= 0)).sum()) if protocol == "held out" else 0,
        trained,
        0 if among is None else len(test) - len(of_items(test, among)),
    )


def seen_by(model: Recommender, data: Interactions) -> Interactions:
    """``data`` in the rows of ``model``, with their confidences, which weigh in a list that is made
    of them; interactions of users or items it does not know are left out.

    IntegrityError if nothing is left of data that had something.
    """
    if data.users == model.users and data.items == model.items:
        return data
    users = model.users.rows_of(data.users.ids, "user_id")
    items = model.items.rows_of(data.items.ids, "item_id")
    by_row = [np.full(ids.size, -1, np.int64) for ids in (data.users, data.items)]
    by_row[0][data.users.rows], by_row[1][data.items.rows] = users, items
    u, v = by_row[0][data.user_rows], by_row[1][data.indices]
    known = (u >= 0) & (v >= 0)
    if data.events is not None:
        return Interactions.of_events(model.users, model.items, data.events.moved(*by_row))
    if len(data) and not known.any():
        raise IntegrityError(
            "no interaction of the data has both its user and its item in the model: other ids?"
        )
    return data.keep(known).in_rows_of(model.users, model.items)


def protocol_of(model: Recommender) -> Protocol:
    """How ``model`` is measured."""
    return model.settings.protocol if isinstance(model, ExactModel) else "held out"


def of_items(data: Interactions, among: Any) -> Interactions:
    """The interactions with some items (ids), in the same rows."""
    rows = data.items.rows_of(among, "item_id")
    return data.keep(np.isin(data.indices, rows[rows >= 0]))


@events.verb("evaluate")
def evaluate(
    model: Recommender,
    test: Interactions,
    *,
    data: Interactions,
    users: Any = None,
    depths: tuple[int, ...] | None = None,
    among: Any = None,
) -> dict[str, float]:
    """Recall@k and NDCG@k of ``model`` on ``test``, all items ranked, the items in ``data`` masked.

    A kind of sessions or of baskets is measured by the protocol of these, ``reveal`` or
    ``next_baskets``, and nothing is masked. Depths are 10, 20 and 50 where nothing else is said; of
    sessions and baskets 10 and 20.

    Users without test items, or unknown to the model, are left out; ``users`` (ids) restricts to
    some. ``among`` (ids of items): these alone are ranked, and of ``test`` these alone asked for;
    nothing for sessions and baskets. The answer holds ``recall@10`` …, ``ndcg@50`` and ``users``,
    the number averaged over. NotFound if there is none, InvalidInput if ``data`` hold the whole of
    ``test``.
    """
    protocol = protocol_of(model)
    if protocol != "held out":
        assert isinstance(model, ExactModel)
        if among is not None:
            raise InvalidInput(f"{protocol} are measured on all items: leave --among out")
        least = depths or protocols.DEPTHS
        if protocol == "sessions":
            return protocols.reveal(model, test, users=users, depths=least)
        return protocols.next_baskets(
            model, test, seen=seen_by(model, data), users=users, depths=least
        )
    depths, chosen_items = depths or DEPTHS, None
    if among is not None:
        chosen_items = Excluded.of(None, model.users, model.items, among)
        test = of_items(test, among)
    wanted = test.users.rows if users is None else test.users.rows_of(users, "users")
    wanted = np.unique(wanted[wanted >= 0])
    wanted = wanted[test.user_counts[wanted] > 0]
    rows = model.users.rows_of(test.users.ids_of(wanted), "user_id")
    wanted, rows = wanted[rows >= 0], rows[rows >= 0]
    if rows.size == 0:
        raise NotFound("no user has both test interactions and a row in the model")
    chosen = np.isin(test.user_rows, wanted)
    item_rows = np.full(test.items.size, -1, np.int64)
    item_rows[test.items.rows] = model.items.rows_of(test.items.ids, "item_id")
    # an item the model does not know is a test item that cannot be hit: a row of its own behind the
    # others
    unknown = item_rows < 0
    item_rows[unknown] = model.items.size + np.arange(unknown.sum())
    indptr = np.concatenate([[0], np.cumsum(test.user_counts[wanted])])
    seen = seen_by(model, data)
    theirs, known = np.repeat(rows, test.user_counts[wanted]), item_rows[test.indices[chosen]]
    inside = known < model.items.size
    if (seen.locate(theirs[inside], known[inside]) >= 0).sum() == theirs.size:
        raise InvalidInput(
            "every test interaction is in the data as well, whose items are masked: nothing could "
            "be hit. Give the data without what was held out (alteraser data split writes both)"
        )
    if chosen_items is None:
        lists, _ = model.top_items(rows, k=max(depths), seen=seen)
    else:
        lists, _ = chosen_items.lists(model.top_items, rows, max(depths), seen)
    return metrics.accuracy(lists, indptr, item_rows[test.indices[chosen]], depths)


@events.verb("compare")
def compare(
    model: Recommender,
    other: Recommender,
    *,
    data: Interactions,
    users: Any = None,
    p: float = 0.9,
    depths: tuple[int, ...] = DEPTHS,
) -> dict[str, float]:
    """How far ``model`` is from ``other``: mean extrapolated RBO@k of top-k lists, and two
    distances.

    Lists are those of the users both know (or of ``users``), items in ``data`` masked for both. Of
    two models of a kind also ``model_distance`` and ``score_distance`` (of factors: ‖Θ − Θ'R‖_F /
    ‖Θ'‖_F for the best rotation R, and that of the full score matrices); ``users`` counts the
    lists. NotFound if no user is known to both.
    """
    user_rows, other_users = _common(model.users, other.users)
    item_rows, other_items = _common(model.items, other.items)
    if users is not None:
        from alteraser.data.ids import convert_ids, named_ids

        picked = convert_ids(named_ids(users, "users"), model.users.kind, "users")
        chosen = np.isin(user_rows, model.users.rows_of(picked))
        list_rows, other_rows = user_rows[chosen], other_users[chosen]
    else:
        list_rows, other_rows = user_rows, other_users
    if user_rows.size == 0 or item_rows.size == 0:
        raise NotFound("the two models have no user, or no item, in common")
    if list_rows.size == 0:
        raise NotFound(
            "none of the users asked for is in both models (a user forgotten whole is in neither "
            "list)"
        )
    k = max(depths)
    first, _ = model.top_items(list_rows, k=k, seen=seen_by(model, data))
    second, _ = other.top_items(other_rows, k=k, seen=seen_by(other, data))
    translated = np.full(other.items.size + 1, -1, np.int64)
    translated[other_items] = item_rows
    # items only the other model knows agree with nothing
    alone = (translated[:-1] < 0).nonzero()[0]
    translated[alone] = model.items.size + alone
    second = translated[second]  # -1 picks the last entry, which is -1
    answer = {
        f"rbo@{depth}": float(np.mean(metrics.rank_biased_overlap(first, second, p=p, depth=depth)))
        for depth in depths
    }
    if model.kind == other.kind:
        rows = (user_rows, other_users), (item_rows, other_items)
        answer |= model.distances(other, *rows, (seen_by(model, data), seen_by(other, data)))
    return answer | {"users": len(list_rows)}


def _common(first: IdMap, second: IdMap) -> tuple[Array, Array]:
    """Rows, in either map, of the ids that both know."""
    there = second.rows_of(first.ids)
    both = there >= 0
    return first.rows[both], there[both]
