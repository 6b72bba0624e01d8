"""The console in Chromium: no violation that axe-core finds, in light and dark, wide and narrow;
everything by keyboard; what changes by itself changes; nothing that its policy forbids."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import BASE, everything
from .test_http import Site, site  # noqa: F401  # the fixture

AXE = Path(__file__).parent / "vendored" / "axe-core-4.14.1.min.js"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
SCREENSHOTS = os.environ.get("SCREENSHOTS", "")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt install chromium"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A page that is logged in, and what its console said."""

    def __init__(self, browser: Any, site: Site, **how: Any) -> None:  # noqa: F811
        self.context = browser.new_context(base_url=str(site.client.base_url), **how)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", self.hears)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto("/")
        self.page.fill("#key", site.admin)
        self.page.click("main button")
        self.page.wait_for_selector("h1:text('Requests')")

    def hears(self, message: Any) -> None:
        """A fault, or something that the policy blocked."""
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def axe(self) -> list[str]:
        """What axe-core finds. It is put into the page by the debugger, whom no policy binds."""
        self.page.evaluate(AXE.read_text("utf-8") + "; undefined")
        found = self.page.evaluate("axe.run()")
        assert found["passes"], "axe ran"
        return [
            f"{each['id']}: {node['html']} {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]


@pytest.fixture
def tab(chromium: Any, site: Site) -> Iterator[Any]:  # noqa: F811
    opened: list[Tab] = []

    def made(**how: Any) -> Tab:
        opened.append(Tab(chromium, site, **how))
        return opened[-1]

    yield made
    for each in opened:
        each.context.close()


def busy(site: Site) -> dict[str, str]:  # noqa: F811
    """A state in which something happened; the places of its pages."""
    name = site.post({"users": [BASE + 5, BASE + 11]}, "a").json()["request_id"]
    site.service.work()
    site.post({"pairs": [list(min(everything()))]}, "b")
    site.post({"users": [BASE + 21], "regulation": "ccpa", "hold": True}, "c")
    site.post({"items": [103]}, "d", site.key("submit"))
    version = site.get("/v1/models").json()["serving"]
    return {
        "queue": "/",
        "request": f"/console/requests/{name}",
        "receipt": f"/console/requests/{name}/receipt",
        "versions": "/console/versions",
        "version": f"/console/versions/{version}",
        "account": "/console/account",
        "keys": "/console/keys",
        "refused": "/console/requests/none",
    }


PICTURES = ("queue", "request", "receipt", "version", "keys")
LOOKS = [
    ("light", {"width": 1100, "height": 760}),
    ("dark", {"width": 1100, "height": 760}),
    ("light", {"width": 360, "height": 700}),
]


def test_axe_finds_nothing(site: Site, tab: Any) -> None:  # noqa: F811
    places = busy(site)
    for scheme, size in LOOKS:
        opened = tab(color_scheme=scheme, viewport=size)
        for name, place in places.items():
            opened.page.goto(place)
            assert opened.axe() == [], (name, scheme, size)
            wide = opened.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= size["width"], f"{name} is read without scrolling sideways"
            if SCREENSHOTS and scheme == "light" and size["width"] > 400 and name in PICTURES:
                opened.page.screenshot(path=f"{SCREENSHOTS}/console-{name}.png")
        told = [each for each in opened.said if "404" not in each]
        assert told == [], "nothing was blocked, and nothing failed"
        opened.context.clear_cookies()
        opened.page.goto("/")
        assert opened.axe() == []


def test_axe_would_find_something(site: Site, tab: Any) -> None:  # noqa: F811
    opened = tab()
    opened.page.evaluate("document.querySelector('main').innerHTML = '<input>'")
    assert any("label" in each for each in opened.axe())


def test_by_keyboard(site: Site, tab: Any) -> None:  # noqa: F811
    """From the login to a request that is cancelled, without a mouse."""
    name = site.post({"users": [BASE + 5]}).json()["request_id"]
    opened = tab()
    page = opened.page
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if name in (page.evaluate("document.activeElement.href") or ""):
            break
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/requests/{name}")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "cancel":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "who has the focus is seen"
    page.keyboard.press("Enter")
    page.wait_for_selector("dd:text-is('cancelled')")
    assert site.get(f"/v1/requests/{name}").json()["status"] == "cancelled"


def test_the_queue_changes_by_itself_and_keeps_the_focus(site: Site, tab: Any) -> None:  # noqa: F811
    opened = tab()
    page = opened.page
    page.focus("#served")
    site.post({"users": [BASE + 5]})
    page.wait_for_selector("td:text-is('queued')", timeout=15_000)
    assert page.evaluate("document.activeElement.id") == "served"
    site.service.work()
    page.wait_for_selector("td:text-is('completed')", timeout=15_000)
    assert opened.said == []


def test_without_scripts(site: Site, tab: Any) -> None:  # noqa: F811
    places = busy(site)
    opened = tab(java_script_enabled=False)
    page = opened.page
    for place in places.values():
        page.goto(place)
        assert page.inner_text("h1")
    user = site.service.state.load_serving().model.users.ids.to_pylist()[0]
    page.goto("/console/account")
    page.fill("#user", str(user))
    page.click("main button")
    assert page.inner_text("h2") == str(user)
    assert page.inner_text("caption").startswith("Version")
    assert str(user) not in page.url


def test_a_receipt_is_printed(site: Site, tab: Any) -> None:  # noqa: F811
    places = busy(site)
    opened = tab(color_scheme="dark")
    opened.page.goto(places["receipt"])
    opened.page.emulate_media(media="print")
    assert not opened.page.is_visible("header")
    assert opened.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert opened.page.pdf().startswith(b"%PDF")
