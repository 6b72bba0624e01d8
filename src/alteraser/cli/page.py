"""``forget --report``: the answer as a page for people, made from its document, for every kind of
model.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from alteraser.report import ForgettingReport

Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Also write a page that says what was done, of which class it is, what it changed "
        "for others and what of the effect is missing.",
        show_default=False,
    ),
]

LIMITS = {
    "A": "That the model was computed without the data says nothing of copies elsewhere: files "
    "beside it, logs.",
    "B": "An optimum is not the only one: training again from another start may end at another.",
    "C": "The distance to the optimum is an estimate. A saddle is excluded as far as it was "
    "looked for.",
    "L": "The model is as far from an optimum as it was. What is said of the deletion is relative "
    "to the model from before: without it, and what was forgotten, nobody can tell this from a "
    "model that has not forgotten.",
    "D": "Not shown to have forgotten. What is erased may be absent while its effect on others is "
    "not. Earlier obligations stay open; training without the data fulfills them.",
}

ALWAYS = (
    "This is not differential privacy: comparing the models before and after shows what was "
    "deleted.",
    "Keep the remaining data, so that `alteraser verify` can work the class out again.",
)


def write_page(path: Path, document: dict[str, Any], rows: list[tuple[str, str]]) -> None:
    """Write the page of an answer, its ``document`` and its ``rows``. Raises as
    ``report.write_report``.
    """
    from alteraser.report import write_report

    write_report(path, page(document, rows))


def page(document: dict[str, Any], rows: list[tuple[str, str]]) -> ForgettingReport:
    """The content of the page.

    >>> shown = page({"model": "m-2", "method": "local", "why": "not at rest", "class": "L",
    ...               "interactions_forgotten": 3, "effect_left": 0.02}, [])
    >>> [label for label, _, _ in shown.figures]
    ['Class', 'Method', 'Effect missing']
    """
    from alteraser.report import Curve, ForgettingReport

    forgotten, level = int(document["interactions_forgotten"]), document.get("class")
    points = _residuals(document)
    drawn = len(points) > 1 and importlib.util.find_spec("plotly") is not None
    curves = [Curve("residual", [x for x, _ in points], [y for _, y in points])] if drawn else []
    return ForgettingReport(
        title=f"{forgotten:,} interactions forgotten",
        lead=f"{forgotten:,} interactions were forgotten in {Path(str(document['model'])).name} "
        f"by the method {document['method']}. {_lead(level)}",
        figures=_figures(document, dict(rows)),
        residual_by_pass=curves,
        details=rows,
        limits=[*([LIMITS[level]] if level in LIMITS else []), *ALWAYS],
    )


def _residuals(document: dict[str, Any]) -> list[tuple[float, float]]:
    """(pass, residual); where passes were not measured one by one, 1 before them and what is left
    after them.
    """
    points = [
        (float(each["number"]), float(each["residual"]))
        for each in document.get("trace", ())
        if each.get("residual")
    ]
    left, passes = document.get("residual"), document.get("passes")
    if not points and left and passes:
        return [(0.0, 1.0), (float(passes), float(left))]
    return points


def _figures(document: dict[str, Any], said: dict[str, str]) -> list[tuple[str, str, str]]:
    """(label, value, what it means) of what matters most; ``said``: the answer's rows by name."""
    level = document.get("class")
    lists, left, seconds = (
        document.get("lists_changed"),
        document.get("effect_left"),
        document.get("seconds"),
    )
    figures = [
        (
            "Class",
            level or "none",
            said.get("class", "").removeprefix(f"{level}: ") or _named(level),
        ),
        ("Method", str(document["method"]), str(document.get("why") or "asked for")),
    ]
    if lists and lists["users"]:
        meaning = (
            f"of the top-10 of {lists['users']:,} users who asked for nothing; "
            f"{lists['overlap']:.1%} of their items are the same"
        )
        figures.append(("Others' lists changed", f"{lists['changed']:.1%}", meaning))
    if left is not None and "effect" in said:  # of a library whose training stopped early
        figures.append(("At an optimum", f"{left:.0%} further", said["effect"]))
    elif left is not None:
        meaning = "estimated share of what the deletion changes that the model lacks"
        figures.append(("Effect missing", f"{left:.1%}", meaning))
    if seconds:
        refit = document.get("refit_seconds_predicted")
        against = (
            ""
            if refit is None
            else f"; training again without the data about {refit:.2g} s (predicted)"
        )
        figures.append(
            ("Time", f"{seconds['total']:.2g} s", f"from the command to its answer{against}")
        )
    return figures


def _named(level: str | None) -> str:
    from alteraser.evidence.certificate.words import NAMES

    return (
        "no class was measured"
        if level is None
        else next((n for k, n in NAMES.items() if k == level), "")
    )


def _lead(level: str | None) -> str:
    return {
        None: "No class was measured.",
        "A": "The new model was computed without them.",
        "B": "The new model is at an optimum for the remaining data: proved.",
        "C": "The new model is measured to be at an optimum for the remaining data.",
        "L": "The new model has had the deletion's effect; what training had left is as it was.",
    }.get(level, "The new model is not shown to have forgotten them.")
