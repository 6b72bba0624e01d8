"""What the paper reports, as far as it is used here (Liu et al., RecSys 2022, arXiv 2208.06875,
Tables 2–5).
"""

from __future__ import annotations

_MODELS = ("original", "retrain", "alteraser-ah-newton")
_TIMED = ("retrain", "warm-start", "alteraser-adamw", "alteraser-hf-newton", "alteraser-ah-newton")
_SETS = ("ml-1m", "amazon-electronics", "kuairec")


def _table(metric: str, methods: tuple[str, ...], values: str) -> dict[tuple[str, str, str], float]:
    rows = [[float(v) for v in line.split()] for line in values.strip().splitlines()]
    return {
        (dataset, method, metric): value
        for dataset, row in zip(_SETS, rows, strict=True)
        for method, value in zip(methods, row, strict=True)
    }


PUBLISHED: dict[tuple[str, str, str], float] = (
    _table("re_predict", _MODELS, "0.464 0.132 0.139\n0.284 0.052 0.056\n0.604 0.236 0.250")
    | _table(
        "rbo@10",
        ("original", "retrain-star", "alteraser-ah-newton"),
        "0.557 0.643 0.722\n0.762 0.848 0.887\n0.541 0.650 0.689",
    )
    | _table(
        "recall@10", _MODELS, "0.1449 0.1591 0.1674\n0.0621 0.0736 0.0710\n0.1837 0.1972 0.1957"
    )
    | _table("ndcg@10", _MODELS, "0.2937 0.3428 0.3581\n0.0531 0.0603 0.0571\n0.2106 0.2461 0.2387")
    | _table(
        "wall_seconds",
        _TIMED,
        "322.06 193.07 204.88 93.53 17.42\n247.72 217.22 199.86 159.40 124.96\n168.69 97.01 "
        "119.41 38.35 23.72",
    )
    | _table(
        "ratio_adamw",
        _TIMED,
        "1 1.67 1.57 3.44 18.49\n1 1.14 1.24 1.55 1.98\n1 1.74 1.41 4.40 7.11",
    )
)
"""(data set, method, metric) → the published mean. Seconds are those of the authors' GPUs."""

SCENARIO = "noise"
"""The scenario that they were measured in (§5.1); they say nothing about another one."""

SIZES: dict[str, tuple[int, int, int]] = {
    "ml-1m": (6040, 3706, 1000209),
    "amazon-electronics": (1435, 1522, 35931),
    "kuairec": (1411, 3276, 217175),
}
"""Users, items and interactions before the split, Table 2."""
