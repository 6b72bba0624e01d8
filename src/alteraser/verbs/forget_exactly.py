"""Forgetting by a model that is counts or a closed form: what comes out is what counting the rest
gives.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from alteraser.data.deletion import Deletion
from alteraser.erasers.driver import OnPass
from alteraser.errors import InvalidInput
from alteraser.evidence.certificate.words import sentence
from alteraser.evidence.claims import Exact
from alteraser.models.closed_form.model import ExactModel
from alteraser.models.closed_form.scrubbed import Scrubbed
from alteraser.runtime import events
from alteraser.verbs.erasure import Erasure, Way
from alteraser.verbs.lists import seen_after
from alteraser.verbs.roads import Method, OnChoice, unlearn

METHODS = ("auto", "exact")
"""Names of the one way that there is"""


def check_method(kind: str, method: Any) -> str:
    """``method`` by its name; InvalidInput for one that is for models with factors."""
    name = method if isinstance(method, str) else getattr(method, "name", "auto")
    if name not in METHODS:
        raise InvalidInput(
            f"method {name!r} is for models with factors: {kind} forgets exactly in one way, "
            f"which has the names {' and '.join(METHODS)}"
        )
    return name


@unlearn.register(ExactModel)
@events.verb("forget", "method", "kind", "residual", "converged", "forgotten")
def unlearn_exactly(
    model: ExactModel,
    found: Deletion,
    *,
    method: Method = "auto",
    threads: int = 0,
    on_pass: OnPass | None = None,
    on_choice: OnChoice | None = None,
) -> Erasure[ExactModel]:
    """``unlearn`` for an exact kind. With additions everything is computed anew.

    Raises InvalidInput for another method, or where targets are given.
    """
    began = time.perf_counter()
    asked = check_method(model.kind, method)
    data, removal = found.data, found.removal
    model.settings.check_data(data)
    # equal scores are in the order of ids, so new ones must not stand behind all others
    if any(found.joined):
        remaining = removal.remaining.compact()
    else:
        users, items = (
            data.users.without(removal.emptied_users),
            data.items.without(removal.emptied_items),
        )
        remaining = removal.remaining.with_maps(users, items)
    if found.known and not any(found.joined):
        state = model.settings.without(model.state, found, threads=threads)
    else:
        state = model.settings.state(remaining, threads=threads)
    found = replace(found, left=remaining)
    scrubbed = Scrubbed(
        removal.emptied_users.size,
        removal.emptied_items.size,
        removal.touched_items.size,
        **(model.settings.scrubbed(model.state, state, found) if found.known else {}),
    )
    training = {"method": "exact", "interactions_forgotten": found.forgotten}
    unlearned = model.succeeded_by(found, training, state=state)
    return Erasure(
        model=unlearned,
        deletion=found,
        way=Way("exact", asked),
        evidence=Exact(sentence("A", None, None)),
        aftermath=seen_after(model, unlearned, found),
        details={"scrubbed": scrubbed.to_document(), "state": model.settings.told(state)},
        seconds=time.perf_counter() - began,
    )
