"""The report: one file, complete in itself, that says what it was given and nothing else."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from alteraser.errors import DependencyMissing, InvalidInput, NotFound, OutputExists
from alteraser.report import (
    ComparisonTable,
    Curve,
    ForgettingReport,
    ListItem,
    SideBySide,
    render_report,
    write_report,
)

VOID = {"meta", "link", "br", "img", "hr", "input"}
PAYLOAD = "<script>alert('1')</script>\"&"


class Page(HTMLParser):
    """What a browser would find: elements, attributes, text; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.data: list[dict] = []  # the plots
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data.strip())
        if self.open and self.open[-1] == "script" and data.startswith('{"data"'):
            self.data.append(json.loads(data))

    def texts(self) -> str:
        return "\n".join(text for text in self.text if text)


@pytest.fixture
def report() -> ForgettingReport:
    rng = np.random.default_rng(0)
    game, spade, kettle = (
        ListItem("Kart Pandas", "Gaming", True),
        ListItem("spade"),
        ListItem("kettle"),
    )
    return ForgettingReport(
        title="A child's month",
        lead="Sixty interactions were forgotten.",
        story="School was out.",
        figures=[("residual", "0.0009", "what is left of the push")],
        rows=ComparisonTable(
            ["original", "unlearned", "retrained"],
            [("NDCG@10", ["0.31", "0.30", "0.30"])],
            ["held out"],
        ),
        residual_by_pass=[
            Curve("plain", [0, 1, 2], [1.0, 0.1, 0.0]),
            Curve("accelerated", [0, 1], [1, 0.01]),
        ],
        residual_tolerance=1e-3,
        scores_before=rng.normal(0.7, 0.1, 60),
        scores_after=rng.normal(0.03, 0.05, 60),
        scores_retrained=rng.normal(0.03, 0.05, 60),
        lists=[
            SideBySide(
                "What acct-1 is recommended",
                ["before", "after forgetting", "retrained"],
                [[game, spade, spade], [spade, kettle, game], [kettle, ListItem("lamp"), kettle]],
            )
        ],
        details=[("solver", "ah-newton")],
        limits=["It is measured, not proved."],
    )


def test_it_parses_and_says_everything(report):
    page = Page(render_report(report))
    said = page.texts()
    for text in (
        "A child's month",
        "Sixty interactions",
        "School was out.",
        "0.0009",
        "NDCG@10",
        "held out",
        "What acct-1 is recommended",
        "ah-newton",
        "It is measured, not proved.",
    ):
        assert text in said
    assert [tag for tag, _ in page.tags].count("title") == 1


def test_it_loads_nothing(report):
    page = Page(render_report(report))
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "action", "data"):
            assert name not in attributes
    policies = [
        a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")


def test_plotly_is_there_once_and_only_with_plots(report):
    assert render_report(report).count("Plotly, Inc.") == 1
    bare = dataclasses.replace(
        report, residual_by_pass=(), scores_before=(), scores_after=(), scores_retrained=()
    )
    assert "<script" not in render_report(bare)


def test_every_text_is_escaped():
    item = ListItem(PAYLOAD, PAYLOAD, True)
    hostile = ForgettingReport(
        title=PAYLOAD,
        lead=PAYLOAD,
        story=PAYLOAD,
        figures=[(PAYLOAD, PAYLOAD, PAYLOAD)],
        rows=ComparisonTable([PAYLOAD], [(PAYLOAD, [PAYLOAD])], [PAYLOAD]),
        residual_by_pass=[Curve(PAYLOAD, [0, 1], [1, 0.1])],
        scores_after=[0.1, 0.2],
        lists=[SideBySide(PAYLOAD, [PAYLOAD] * 3, [[item] * 3], PAYLOAD, PAYLOAD)],
        details=[(PAYLOAD, PAYLOAD)],
        limits=[PAYLOAD],
    )
    text = render_report(hostile)
    assert "<script>alert" not in text
    page = Page(text)
    scripts = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert scripts == ["application/json", "application/json", None, None]
    assert page.texts().count(PAYLOAD) >= 15
    # plotly reads a little HTML in names: there, too, it has to stay text
    assert "<script>" not in page.data[1]["data"][0]["name"]


@pytest.mark.parametrize(
    ("empty", "heading"),
    [
        ({"story": None}, "What happened"),
        ({"rows": None}, "The models compared"),
        ({"rows": ComparisonTable(["a"], [])}, "The models compared"),
        ({"residual_by_pass": ()}, "pass by pass"),
        ({"residual_by_pass": [Curve("plain", [], [])]}, "pass by pass"),
        ({"scores_before": (), "scores_after": (), "scores_retrained": ()}, "are scored now"),
        ({"lists": ()}, "What acct-1 is recommended"),
        ({"details": ()}, "Details"),
        ({"limits": ()}, "What this does not say"),
        ({"figures": ()}, "0.0009"),
    ],
)
def test_what_is_empty_is_left_out(report, empty, heading):
    assert heading in Page(render_report(report)).texts()
    assert heading not in Page(render_report(dataclasses.replace(report, **empty))).texts()


def test_a_report_of_two_sentences_is_a_page():
    page = Page(render_report(ForgettingReport(title="Nothing yet", lead="Nothing was measured.")))
    assert "Nothing was measured." in page.texts()
    assert "section" not in [tag for tag, _ in page.tags]


def test_flags_and_agreement_are_said_in_words(report):
    page = Page(render_report(report))
    cells = [a.get("class") for tag, a in page.tags if tag == "td" and "data-column" in a]
    #        before, after,    retrained
    assert cells == [
        "flag",
        "agrees",
        "agrees",  # spade, spade
        "",
        "agrees",
        "flag",  # kettle is third in the other list; the game is not in it
        "",
        "",
        "agrees",  # the lamp is in neither
    ]
    said = page.texts()
    assert said.count("▲ like what was forgotten") == 2
    assert said.count("✓ same in both") == 2
    assert "✓ in both, at place 3 there" in said
    assert "✓ in both, at place 2 there" in said
    counts = "like what was forgotten: 1 before, 0 after forgetting, 1 retrained."
    assert f"Of 3 recommendations, {counts}" in said
    # before: game, spade, kettle are all in {spade, game, kettle}; after: spade and kettle are
    assert "also in the list “retrained”: 3 before, 2 after forgetting." in said


def test_two_columns_have_no_reference(report):
    two = SideBySide("Lists", ["before", "after"], [[ListItem("spade"), ListItem("spade")]])
    page = Page(render_report(dataclasses.replace(report, lists=[two])))
    assert "✓" not in page.texts()
    assert "also in the list" not in page.texts()


def test_the_plots_hold_the_data(report):
    scores, residual = Page(render_report(report)).data
    assert residual["layout"]["yaxis"]["type"] == "log"
    assert residual["data"][0]["y"] == [1.0, 0.1, None]  # zero has no place on a logarithmic axis
    assert residual["layout"]["annotations"][0]["y"] == pytest.approx(-3)
    names = [trace["name"] for trace in scores["data"]]
    assert sorted(names) == ["after forgetting", "before", "retrained without them"]
    for trace in scores["data"]:
        assert len(trace["x"]) == len(trace["y"])
        assert sum(trace["y"]) == pytest.approx(100, abs=1e-2)
    assert scores["data"][0]["x"] == scores["data"][1]["x"]


@pytest.mark.parametrize("scores", [[0.5], [0.5, 0.5], [0.1, math.nan, math.inf], [-1e300, 1e300]])
def test_odd_scores_are_drawn_all_the_same(report, scores):
    odd = dataclasses.replace(report, scores_before=scores, scores_after=(), scores_retrained=())
    figure = Page(render_report(odd)).data[0]
    assert [trace["name"] for trace in figure["data"]] == ["before"]
    assert sum(figure["data"][0]["y"]) == pytest.approx(100, abs=1e-2)


def test_scores_of_nothing_but_nan_leave_the_section_out(report):
    nan = [math.nan]
    odd = dataclasses.replace(report, scores_before=nan, scores_after=nan, scores_retrained=nan)
    assert "are scored now" not in Page(render_report(odd)).texts()


def test_written_whole_or_not_at_all(tmp_path, report):
    path = write_report(tmp_path / "report.html", report)
    assert path.read_text(encoding="utf-8") == render_report(report)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_an_existing_file_is_kept_unless_asked(tmp_path, report):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(OutputExists, match=r"report\.html exists already"):
        write_report(path, report)
    assert path.read_text() == "mine"
    write_report(path, report, overwrite=True)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(OutputExists):
        write_report(tmp_path, report, overwrite=True)


def test_the_folder_must_exist(tmp_path, report):
    with pytest.raises(NotFound, match="create it first"):
        write_report(tmp_path / "no" / "report.html", report)


def test_without_plotly_the_remedy_is_named(tmp_path, report, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(DependencyMissing, match=r'pip install "alteraser\[report\]"'):
        write_report(tmp_path / "report.html", report)
    assert list(tmp_path.iterdir()) == []


def test_crooked_data_is_refused_by_name():
    with pytest.raises(InvalidInput, match="'plain' has 2 x values and 1 y"):
        Curve("plain", [0, 1], [1])
    with pytest.raises(InvalidInput, match="'NDCG' has 1 values for 2 columns"):
        ComparisonTable(["a", "b"], [("NDCG", ["1"])])
    with pytest.raises(InvalidInput, match="place 1 of 'Lists' has 1 items for 2"):
        SideBySide("Lists", ["a", "b"], [[ListItem("x")]])
