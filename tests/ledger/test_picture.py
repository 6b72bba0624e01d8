"""The picture of a request's life in the documentation is that of the ledger's table."""

from __future__ import annotations

import re
from pathlib import Path
from runpy import run_path
from xml.etree import ElementTree

from alteraser.ledger import states

DOCS = Path(__file__).parents[2] / "docs"


def test_it_is_drawn_from_the_table() -> None:
    made = run_path(str(DOCS / "make_states.py"))
    text = (DOCS / "reference" / "states.svg").read_text(encoding="utf-8")
    assert text == made["picture"](), "run python docs/make_states.py"
    assert set(made["PLACES"]) == set(states.STATES)


def test_every_status_and_every_way_is_on_it() -> None:
    page = ElementTree.parse(DOCS / "reference" / "states.svg").getroot()
    said = [
        re.sub(r"\s+", " ", text.text or "")
        for text in page.iter("{http://www.w3.org/2000/svg}text")
    ]
    assert set(states.STATES) <= set(said)
    for happens in {what for _, what in states.TABLE} - {"cancel"}:
        assert said.count(happens) == sum(what == happens for _, what in states.TABLE)
