"""What a composite model shows of having forgotten, from its files and what is left alone.

The problem is made anew of what is left; the certificate has arithmetic of its own. What the model
keeps beside its tables, words, scales, averages, what users and items are, has to be what these
data give: one that was not brought along is refused.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from alteraser.data.side.given import ITEM, USER, Given
from alteraser.errors import IntegrityError
from alteraser.evidence.certificate import Check, Limits
from alteraser.evidence.certificate.certificate import Watch
from alteraser.evidence.certificate.relational import certify
from alteraser.evidence.certificate.words import sentence
from alteraser.models.protocol import TrainedOn
from alteraser.models.relational.composite import CompositeModel, described_blocks
from alteraser.models.relational.setup import Assembled
from alteraser.runtime import events
from alteraser.runtime.workers import default_threads
from alteraser.verbs.relational.forget import belongs
from alteraser.verbs.strict import SHOWN, strangers
from alteraser.verbs.verify import Verification


@events.verb("verify", "passed")
def verify(
    model: CompositeModel,
    given: Given,
    *,
    before: CompositeModel | None = None,
    unrelated: bool = False,
    folder: Path | None = None,
    limits: Limits | None = None,
    threads: int = 0,
    watch: Watch | None = None,
) -> Verification:
    """Recompute from what is left alone how far ``model`` is from an optimum for it.

    Raises IntegrityError where ``given`` is not what the model says it stands for, or ``before`` is
    none of its ancestors.
    """
    belongs(model, given)
    if before is not None and not unrelated:
        _related(model, before)
    assembled = model.setup.assemble(given)
    beside = [*_kept(model, given, assembled), *_folder(model, folder)]
    problem = assembled.problem
    original = None
    if before is not None:
        beside.append(_same_setup(model, before))
        original = problem.point(_carried(before, assembled))
    shapes = [(name, x.shape) for name, x in problem.point(np.empty(problem.size)).tables.items()]
    if any(name not in model.tables or model.tables[name].shape != shape for name, shape in shapes):
        raise IntegrityError(
            "the model's tables have rows for something else than these data hold: what was "
            "forgotten is still in it, or the data are not all of them"
        )
    point = problem.point(model.vector(assembled))
    sides = [assembled.sides[name].vectors(point.tables[name]) for name in (USER, ITEM)]
    found = certify(
        problem,
        point,
        model.vectors,
        (sides[0], sides[1]),
        before=original,
        limits=limits,
        threads=threads or default_threads(),
        watch=watch,
    )
    found = replace(found, checks=(*found.checks, *beside))
    if not all(check.passed for check in found.checks):
        found = replace(found, kind="D", sentence=sentence("D", None, None))
    return Verification(
        found,
        model.digest,
        given.digests["data"],
        None if before is None else before.digest,
        None if before is None else before.digest is not None and before.digest in model.ancestors,
    )


def _kept(model: CompositeModel, given: Given, assembled: Assembled) -> list[Check]:
    """What is beside the tables, against what the data give."""
    fresh = replace(
        model,
        blocks={name: side.blocks for name, side in assembled.sides.items()},
        users=assembled.sides[USER].ids,
        items=assembled.sides[ITEM].ids,
    )
    mine, theirs = described_blocks(model), described_blocks(fresh)
    other = [name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)]
    ids = int(model.users != fresh.users) + int(model.items != fresh.items)
    average = assembled.sides[USER].average
    apart = (
        float(np.max(np.abs(average - model.average), initial=0.0))
        if average.shape == model.average.shape
        else np.inf
    )
    trained = TrainedOn.of(given.interactions())
    sums = int(trained != model.trained_on)
    if model.trained_on.sums is not None and trained.sums is not None:
        sums += model.trained_on.sums.differing(trained.sums)
    what = "" if not other else f": of {', '.join(sorted(other))}"
    return [
        Check(
            "features",
            float(len(other)),
            0.0,
            not other,
            "tables whose words, ids, means or deviations are not those of the remaining data"
            + what,
        ),
        Check("ids", float(ids), 0.0, not ids, "sides whose ids are not those of these data"),
        Check(
            "contexts",
            apart,
            1e-12,
            apart <= 1e-12,
            "how often contexts occur, from the remaining data",
        ),
        Check("sums", float(sums), 0.0, not sums, "counts and sums that are not those of the data"),
    ]


def _folder(model: CompositeModel, folder: Path | None) -> list[Check]:
    found = () if folder is None else strangers(folder, model)
    meaning = "things in the folder that do not belong to a model"
    if found:
        meaning += f": {'; '.join(found[:SHOWN])}"
    return [Check("folder", float(len(found)), 0.0, not found, meaning)]


def _same_setup(model: CompositeModel, before: CompositeModel) -> Check:
    """Forgetting changes the data, never the settings."""
    mine, theirs = (x.setup.model_dump(mode="json") for x in (model, before))
    other = sorted(name for name in mine if mine[name] != theirs[name])
    meaning = "settings that are not those of --before" + (f": {', '.join(other)}" if other else "")
    return Check("objective", float(len(other)), 0.0, not other, meaning)


def _carried(before: CompositeModel, assembled: Assembled) -> np.ndarray:
    """The tables of the model from before in the rows of these data."""
    found = np.zeros(assembled.problem.size)
    point = assembled.problem.point(found)
    for name, side in assembled.sides.items():
        old = {(x.sort, x.name): x for x in before.blocks.get(name, ())}
        for block in side.blocks:
            there = old.get((block.sort, block.name))
            if there is None:
                continue
            rows = there.ids.rows_of(block.ids.ids, name)
            known = rows >= 0
            point.tables[name][block.start : block.stop][known] = before.tables[name][
                rows[known] + there.start
            ]
    for name, h in point.predictions.items():
        h[:] = before.predictions.get(name, np.ones(h.size))
    return found


def _related(model: CompositeModel, before: CompositeModel) -> None:
    """IntegrityError unless ``before`` is a model that ``model`` comes from."""
    if before.digest is not None and before.digest == model.digest:
        raise IntegrityError("--before is the model itself: give the one from before it forgot")
    if before.digest is not None and before.digest not in model.ancestors:
        raise IntegrityError(
            f"--before ({before.digest[:12]}…) is no ancestor of the model. Give one that it comes "
            "from, or --unrelated to compare with another all the same"
        )
