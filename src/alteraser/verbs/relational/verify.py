"""What a linear model shows of having forgotten, from its files and what is left alone.

The problem is made anew of what is left; the certificate has arithmetic of its own. What a model of
several sources keeps beside its tables, words, scales, averages, what users and items are, has to
be what these data give: one that was not brought along is refused.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alteraser.data.interactions import Interactions
from alteraser.data.side.given import ITEM, USER, Given
from alteraser.errors import IntegrityError
from alteraser.evidence.certificate import Check
from alteraser.evidence.certificate.relational import LinearCertificate, certify
from alteraser.models.protocol import TrainedOn
from alteraser.models.relational.composite import CompositeModel, described_blocks
from alteraser.models.relational.model import LinearModel, Posed
from alteraser.models.relational.plain import PlainModel
from alteraser.models.relational.problem import Point
from alteraser.models.relational.setup import Assembled
from alteraser.verbs.examined import (
    Inquiry,
    absent_rows,
    examined,
    in_folder,
    kept_of_data,
    same_kind,
    standing_for,
    with_checks,
)
from alteraser.verbs.relational.deleting import belongs


@examined.register(PlainModel)
def examined_linear(
    model: PlainModel, data: Interactions, asked: Inquiry
) -> tuple[LinearCertificate, str]:
    """``examined`` for a linear kind: measured on the problem that the remaining data make, class C
    or D.
    """
    data = standing_for(model, data)
    same_kind(model, asked.before)
    posed = model.posed(model.settings, data)
    before = None if asked.before is None else asked.before.point(posed)
    found = _certified(model, posed, asked, before)
    return with_checks(found, *kept_of_data(model, data, asked), absent_rows(model)), data.digest


@examined.register(CompositeModel)
def examined_composite(
    model: CompositeModel, data: Given | Interactions, asked: Inquiry
) -> tuple[LinearCertificate, str]:
    """``examined`` for a model of several sources: also what it keeps beside its tables."""
    data = Given.of(data).of_kinds(model.id_kinds).of_names(model.settings.missing)
    belongs(model, data)
    same_kind(model, asked.before)
    posed = model.posed(model.settings, data)
    problem = posed.problem
    shapes = [(name, x.shape) for name, x in problem.point(np.empty(problem.size)).tables.items()]
    if any(name not in model.tables or model.tables[name].shape != shape for name, shape in shapes):
        raise IntegrityError(
            "the model's tables have rows for something else than these data hold: what was "
            "forgotten is still in it, or the data are not all of them"
        )
    before = None if asked.before is None else problem.point(_carried(asked.before, posed))
    found = _certified(model, posed, asked, before)
    found = with_checks(found, in_folder(model, asked), *_kept(model, data, posed))
    return found, data.digests["data"]


def _certified(
    model: LinearModel, posed: Posed, asked: Inquiry, before: Point | None
) -> LinearCertificate:
    """The certificate of the tables; ``before``: the original, in their rows."""
    point = model.point(posed)
    found = certify(
        posed.problem,
        point,
        model.vectors,
        posed.composed(point),
        before=before,
        limits=asked.limits,
        threads=asked.threads,
    )
    return found if before is None else with_checks(found, _same_settings(model, asked.before))


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


def _same_settings(model: LinearModel, before: LinearModel) -> Check:
    """Forgetting changes the data, never the settings."""
    mine, theirs = (x.settings.own() for x in (model, before))
    other = sorted(name for name in mine if mine[name] != theirs.get(name))
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
