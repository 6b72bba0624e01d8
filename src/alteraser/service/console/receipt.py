"""A receipt for people: as a page of the console, or as one file that needs nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from alteraser.ledger.receipts import LIMITS, Checked
from alteraser.service.console.common import templates


def of_receipt(found: Checked) -> dict[str, Any]:
    """What the page of a receipt shows."""
    predicate = found.predicate
    return {
        "checked": found,
        "said": predicate,
        "certificate": predicate["certificate"]
        or {"class": None, "sentence": "Nothing was found, and nothing was changed."},
        "limits": [(code, LIMITS.get(code, "")) for code in predicate["limits"]],
    }


def standalone(found: Checked) -> str:
    """The page as one file."""
    style = files("alteraser.service").joinpath("templates/style.css").read_text("utf-8")
    return templates().get_template("standalone.html").render(of_receipt(found), css=style)
