"""The classes of a certificate and the only sentences that may be said of each."""

from __future__ import annotations

from typing import Literal

Class = Literal["A", "B", "C", "L", "D"]

NAMES: dict[Class, str] = {
    "A": "replayed",
    "B": "certified",
    "C": "measured",
    "L": "local",
    "D": "not forgotten",
}


def sentence(kind: Class, distance: float | None, relative: float | None) -> str:
    """What a receipt may say: ``distance`` is ρ for B and η for C, ``relative`` the same over ‖Θ‖
    (None for Θ = 0).

    For L ``relative`` is the share ε of the deletion's effect that is missing, None where it is not
    known.

    >>> sentence("C", 0.00012, 3e-7)
    'measured to be within about 0.00012 (3.0e-07 of the model) of an
    optimum for the remaining data; not a proof'
    """
    share = "an unknown share" if relative is None else f"about {relative:.1%}"
    where = "" if distance is None else f"{distance:.2g}"
    where += "" if relative is None else f" ({relative:.1e} of the model)"
    return {
        "A": "this model was computed without the data that are gone: training on the remaining "
        "data alone gives the same bytes",
        "B": f"within {where} of an optimum for the remaining data: proved",
        "C": f"measured to be within about {where} of an optimum for the remaining data; not a "
        "proof",
        "L": f"the deletion's effect on a model that is not at rest, to within {share} of that "
        "effect; its distance from an optimum is as before",
        "D": "not shown to have forgotten: at least one check failed; earlier obligations stay "
        "open",
    }[kind]
