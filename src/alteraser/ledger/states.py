"""What may happen to a request: a table, and the function that looks into it.

    received → verified → queued → executing → scrubbed → checked → published → receipted
        → completed

(`docs/reference/states.svg` draws all of it.) Everything that the ledger does to a request goes
through ``after``; what the table does not have cannot happen.

- I1: nothing executes unverified: ``executing`` is reached from ``queued`` alone, and that from
  ``verified``
- I2: nothing is completed without a served model whose erasure floor includes it
- I3: what is published without a receipt gets one: no way leads out of ``published`` but that
- I4: a duplicate points to a request that is none itself, and at least as verified
- I5: a request fails once its tries are used up, with a reason
- I6: the ledger's sequence orders everything, not time
"""

from __future__ import annotations

from alteraser.errors import Conflict

RECEIVED, UNVERIFIED, VERIFIED, QUEUED, HELD = (
    "received",
    "unverified",
    "verified",
    "queued",
    "held",
)
EXECUTING, SCRUBBED, CHECKED, PUBLISHED, RECEIPTED = (
    "executing",
    "scrubbed",
    "checked",
    "published",
    "receipted",
)
COMPLETED, NOTHING_FOUND, REJECTED, CANCELLED, FAILED, DUPLICATE = (
    "completed",
    "completed_nothing_found",
    "rejected",
    "cancelled",
    "failed",
    "duplicate_of",
)

STATES = (
    RECEIVED,
    UNVERIFIED,
    VERIFIED,
    QUEUED,
    HELD,
    EXECUTING,
    SCRUBBED,
    CHECKED,
    PUBLISHED,
    RECEIPTED,
    COMPLETED,
    NOTHING_FOUND,
    REJECTED,
    CANCELLED,
    FAILED,
    DUPLICATE,
)
"""Every status, in the order of a request's life"""

FINAL = frozenset({COMPLETED, NOTHING_FOUND, REJECTED, CANCELLED, FAILED, DUPLICATE})
"""Nothing is owed any more. ``duplicate_of`` ends as the request that it points to, and takes its
place if that is cancelled or fails."""

OPEN = tuple(state for state in STATES if state not in FINAL)
"""Something is owed."""

WAITING = frozenset({RECEIVED, UNVERIFIED, VERIFIED, QUEUED, HELD})
"""No work was begun: a request may still be cancelled."""

WORKING = (EXECUTING, SCRUBBED, CHECKED, PUBLISHED, RECEIPTED)
"""In a batch"""

TABLE: dict[tuple[str, str], str] = {
    (RECEIVED, "doubt"): UNVERIFIED,
    (RECEIVED, "verify"): VERIFIED,
    (UNVERIFIED, "verify"): VERIFIED,
    (UNVERIFIED, "reject"): REJECTED,
    (VERIFIED, "queue"): QUEUED,
    (VERIFIED, "hold"): HELD,
    (VERIFIED, "repeat"): DUPLICATE,
    (QUEUED, "hold"): HELD,
    (HELD, "release"): QUEUED,
    (QUEUED, "start"): EXECUTING,
    (EXECUTING, "scrub"): SCRUBBED,
    (SCRUBBED, "check"): CHECKED,
    (CHECKED, "publish"): PUBLISHED,
    (PUBLISHED, "receipt"): RECEIPTED,
    (RECEIPTED, "complete"): COMPLETED,
    (RECEIPTED, "find nothing"): NOTHING_FOUND,
    (SCRUBBED, "again"): EXECUTING,
    (EXECUTING, "retry"): QUEUED,
    (SCRUBBED, "retry"): QUEUED,
    (CHECKED, "retry"): QUEUED,
    (EXECUTING, "give up"): FAILED,
    (SCRUBBED, "give up"): FAILED,
    (DUPLICATE, "take over"): QUEUED,
    **{(state, "cancel"): CANCELLED for state in STATES if state in WAITING},
}
"""(status, what happens) → status"""


def after(state: str, happens: str) -> str:
    """The status that follows; Conflict where nothing of the kind can happen to a request in
    ``state``.

    >>> after("queued", "start"), after("queued", "cancel")
    ('executing', 'cancelled')
    >>> after("executing", "cancel")
    Traceback (most recent call last):
    alteraser.errors.Conflict: a request that is executing cannot be changed by 'cancel'
    """
    try:
        return TABLE[state, happens]
    except KeyError:
        raise Conflict(
            f"a request that is {state} cannot be changed by {happens!r}", state=state
        ) from None


STEPS = {
    "gathering": ("planned", "start"),
    "planned": ("scrubbed", "scrub"),
    "scrubbed": ("checked", "check"),
    "checked": ("published", "publish"),
    "published": ("receipted", "receipt"),
    "receipted": ("done", "complete"),
}
"""Status of a batch → (the next one, what happens to its requests on the way): the only way that
work goes on."""

FOLLOWED = {
    "scrubbed": (EXECUTING, "scrub"),
    "checked": (SCRUBBED, "check"),
    "published": (CHECKED, "publish"),
}
"""Status of a batch that its requests follow → (the one they have until then, what happens to
them). The batch goes first, so that none of them says more than is true. On the other steps the
requests go first, and the batch once none is left behind."""

ABANDONED = "abandoned"
"""A batch that did not pass its checks; its requests are queued again, or fail"""


def step(batch: str, to: str) -> str:
    """What happens to the requests of a batch on its way ``to`` the next status; Conflict where
    that is not the next.

    >>> step("checked", "published")
    'publish'
    """
    if batch not in STEPS or STEPS[batch][0] != to:
        raise Conflict(f"a batch that is {batch} does not become {to}", state=batch)
    return STEPS[batch][1]
