"""How lists are made, whatever they are of: once formed, once per version, here or in a thread."""

from __future__ import annotations

from alteraser.service import serving as served
from alteraser.service.serving import Serving

from .conftest import BASE
from .test_http import running


def test_what_lists_are_made_of_is_formed_once_for_a_version(service, monkeypatch) -> None:
    opened = service("knn")
    serving = Serving(opened.state)
    settings, calls = type(serving.current().model.settings), []
    before = settings.formed

    def formed(self, state, history):
        calls.append(1)
        return before(self, state, history)

    monkeypatch.setattr(settings, "formed", formed)
    names = serving.current().model.users.ids.to_pylist()
    for name in names[:6]:
        serving.recommend(str(name), 3)
    assert len(calls) == 1
    opened.send({"users": names[:1]})
    opened.work()
    serving.warm()
    calls.clear()
    for name in names[2:6]:
        serving.recommend(str(name), 3)
    assert len(calls) == 1, "the next version is another one"


def test_a_list_is_the_same_wherever_it_is_made(service, monkeypatch) -> None:
    with running(service("knn")) as site:
        found = []
        for quick in (-1.0, float("inf")):
            monkeypatch.setattr(served, "QUICK", quick)
            answers = [site.get(f"/v1/recommendations/{BASE + user}?k=5") for user in range(9)]
            answers += [site.get("/v1/recommendations/0"), site.get("/v1/recommendations/1?k=0")]
            found.append([(each.status_code, each.text) for each in answers])
        assert found[0] == found[1]
        assert {status for status, _ in found[0]} == {200, 400, 404}
