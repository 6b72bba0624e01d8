"""The files of deploy/: what they name is there, and the service takes what they send."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from alteraser.cli.main import main
from alteraser.service import run

from .conftest import BASE
from .test_http import Site, site  # noqa: F401  # the fixture

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def test_the_configuration_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (DEPLOY / "alteraser.toml").read_text("utf-8")
    whole = re.sub(r"^# (model|data|callback-host) = ", r"\1 = ", text, flags=re.M)
    assert {"model", "data", "callback-host"} < tomllib.loads(whole).keys()
    place = tmp_path / "alteraser.toml"
    place.write_text(re.sub(r"^(model|data) = .*$", "", whole, flags=re.M))
    called: dict[str, Any] = {}
    monkeypatch.setattr(run, "serve", lambda root, **given: called.update(given, root=root))
    assert main(["serve", "--config", str(place)]) == 0
    assert called["root"] == Path("/var/lib/alteraser/state")
    assert called["outside"].hosts.checked("https://tickets.example/x")


def test_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DEPLOY / "alteraser.service").read_text("utf-8")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
    program, *arguments = shlex.split(line)
    assert program.endswith("/alteraser")
    assert arguments == ["serve", "--config", "/etc/alteraser/alteraser.toml"]
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        found = subprocess.run(
            [analyze, "verify", str(DEPLOY / "alteraser.service")], capture_output=True, text=True
        )
        wrong = [each for each in found.stderr.splitlines() if "alteraser" in each]
        assert all("not executable" in each or "/opt/alteraser" in each for each in wrong), wrong


def test_the_container_file() -> None:
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for name in line.split():
            assert (ROOT / name).exists(), name
    known = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")
    variables = re.findall(r"ALTERASER_[A-Z_]+", text)
    assert variables
    assert all(f"`{name}`" in known for name in variables)
    (extras,) = re.findall(r'"\.\[([^\]]+)\]"', text)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras.split(",")) <= declared["optional-dependencies"].keys()


def test_the_connector_of_fides(site: Site) -> None:  # noqa: F811
    """Its calls, with the placeholders filled in as fides does, are taken."""
    text = (DEPLOY / "fides" / "alteraser_config.yml").read_text("utf-8")
    (body,) = re.findall(r"body: \|\n\s+(\{.*\})\n", text)
    (name,) = re.findall(r"name: Idempotency-Key\n\s+value: (\S+)", text)
    paths = re.findall(r"path: (\S+)", text)
    scopes = re.findall(r"--scopes (\S+)", text)[0].split(",")
    key = site.key(*scopes)

    def filled(part: str) -> str:
        return part.replace("<privacy_request_id>", "pri_1").replace("<user_id>", str(BASE + 5))

    assert paths == ["/v1/requests", "/v1/recommendations/<user_id>", "/v1/requests"]
    assert site.get(f"{paths[0]}?limit=1", key).status_code == 200
    known = site.get(filled(paths[1]) + "?k=1", key)
    assert known.json()["user_id"] == BASE + 5
    assert site.get("/v1/recommendations/1?k=1", key).status_code == 404
    as_number = json.loads(filled(body.replace('"<user_id>"', "<user_id>")))
    assert json.loads(filled(body)) == {"users": [str(BASE + 5)]}
    answers = [site.post(as_number, filled(name), key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 200]
    site.service.work()
    done = site.get(answers[0].headers["location"], key).json()
    assert done["status"] == "completed"
    assert set(re.findall(r"<\w+>", text)) == {
        "<instance_fides_key>",
        "<domain>",
        "<api_key>",
        "<user_id>",
        "<privacy_request_id>",
    }
