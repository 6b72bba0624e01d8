"""Matrix factorization as a case of the family, beside ENMF: the same optimum, for the same time.

Kind ``linear`` with nothing beside the interactions is ENMF's problem. Both are trained to their
optimum from the same seed and forget the same 64 users' noise, in turns.
"""

from __future__ import annotations

from dataclasses import replace

from alteraser import ENMF, forget, metrics
from alteraser.bench.common import interleaved, load, table
from alteraser.bench.linear.case import Case
from alteraser.data.interactions import Interactions
from alteraser.data.sets import inject_noise
from alteraser.data.side.given import Given
from alteraser.models.relational.setup import LinearSetup, RelationSetting
from alteraser.verbs.relational.train import train


def factorization(folder: str | None, asked: Case) -> None:
    """One set."""
    name, whole = load(folder)
    scene = inject_noise(whole, users=64, seed=0)
    data, given = scene.polluted, Given.of(scene.polluted)
    print(f"### {name}: {len(data):,} interactions, {len(scene.noise):,} to forget\n")
    one = ENMF(
        factors=asked.factors,
        missing_weight=asked.missing_weight,
        regularization=asked.regularization,
        to_rest=True,
    )
    same = LinearSetup(
        factors=asked.factors,
        regularization=asked.regularization,
        relations={"data": RelationSetting(missing_weight=asked.missing_weight)},
    )
    apart, case = one.fit(data), train(same, given)
    gone = [
        (forget(model, scene.noise, data=of)).model for model, of in ((apart, data), (case, given))
    ]

    def fresh() -> Interactions:
        """The data, without what earlier runs worked out of them."""
        return replace(data)

    spent = interleaved(
        {
            "ENMF": lambda: one.fit(fresh()),
            "case": lambda: train(same, Given.of(fresh())),
            "ENMF forgets": lambda: forget(apart, scene.noise, data=fresh()),
            "case forgets": lambda: forget(case, scene.noise, data=Given.of(fresh())),
        }
    )
    rows = []
    for what, ours, models in (("trained", "", (apart, case)), ("forgotten", " forgets", gone)):
        first, second = spent[f"ENMF{ours}"], spent[f"case{ours}"]
        distance = metrics.relative_model_distance(models[1].factors, models[0].factors)
        rows.append(
            (what, f"{first:.2f}", f"{second:.2f}", f"{second / first:.3f}", f"{distance:.1e}")
        )
    table(("", "ENMF, CPU s", "as a case, CPU s", "ratio", "distance of the models"), rows)
