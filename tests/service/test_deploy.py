"""The files of deploy/: what they name is there, and the service takes what they send."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
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


def instructions() -> list[tuple[str, str]]:
    """Of the container file: (word, the rest), lines that go on put together."""
    text = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [each for each in text.splitlines() if each.strip() and not each.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (each.partition(" ") for each in lines)]


def settings() -> dict[str, str]:
    """Its environment."""
    found = [each for word, rest in instructions() if word == "ENV" for each in shlex.split(rest)]
    return dict(each.split("=", 1) for each in found)


def test_what_the_container_file_names_is_there() -> None:
    copied = [rest.split() for word, rest in instructions() if word == "COPY"]
    for *names, _ in (each for each in copied if not each[0].startswith("--from")):
        for name in names:
            assert (ROOT / name).exists(), name
    assert ["--from=build", "/opt/alteraser", "/opt/alteraser"] in copied
    known = (ROOT / "docs" / "reference" / "configuration.md").read_text("utf-8")
    text = (DEPLOY / "Containerfile").read_text("utf-8")
    variables = re.findall(r"ALTERASER_[A-Z_]+", text)
    assert variables
    assert all(f"`{name}`" in known for name in variables)
    (extras,) = re.findall(r'"\.\[([^\]]+)\]"', text)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras.split(",")) <= declared["optional-dependencies"].keys()


def test_the_container_file_keeps_the_rules() -> None:
    """Those that a linter of such files has, as far as they apply."""
    found = instructions()
    words = [word for word, _ in found]
    (user,) = [rest for word, rest in found if word == "USER"]
    assert user not in ("root", "0")
    last = len(words) - words[::-1].index("FROM")
    assert words.index("USER") > last, "of the image that runs"
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert f" {user}" in next(rest for word, rest in found[last:] if word == "RUN")
    assert "ADD" not in words
    for rest in (rest for word, rest in found if word == "FROM"):
        assert re.fullmatch(r"[a-z.]+/[a-z/]+:[0-9][^ ]*( AS [a-z]+)?", rest), "a registry, a tag"
        assert "latest" not in rest
    for word, rest in found:
        if word in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list), "no shell stands between it and its signals"
        if word == "RUN" and "pip install" in rest:
            assert "--no-cache-dir" in rest
            assert "-c constraints.txt" in rest
        if word == "WORKDIR":
            assert rest.startswith("/")
    assert {words.count(word) for word in ("HEALTHCHECK", "ENTRYPOINT", "CMD", "STOPSIGNAL")} == {1}
    assert dict(found)["STOPSIGNAL"] == "SIGTERM"
    assert dict(found)["EXPOSE"] == settings()["ALTERASER_PORT"]
    assert settings()["ALTERASER_STATE"].startswith(dict(found)["VOLUME"] + "/")


def test_what_the_container_runs(made: Path, tmp_path: Path) -> None:
    """Its command, with its environment, in a plain folder in place of its volume; and its check of
    health, which fails once the service has ended."""
    found = dict(instructions())
    command = json.loads(found["ENTRYPOINT"]) + json.loads(found["CMD"])
    health = json.loads(found["HEALTHCHECK"].partition("CMD ")[2])
    assert (command[0], health[0]) == ("alteraser", "python")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    given = {name: value for name, value in settings().items() if name.startswith("ALTERASER_")}
    volume = found["VOLUME"]
    env = os.environ | {name: value.replace(volume, str(tmp_path)) for name, value in given.items()}
    env |= {"ALTERASER_PORT": port, "ALTERASER_MODEL": str(made / "knn")}
    env |= {"ALTERASER_DATA": str(made / "data.csv"), "ALTERASER_HOST": "127.0.0.1"}
    env |= {"HOME": str(tmp_path)}
    here = [sys.executable, "-m", "alteraser", *command[1:]]
    with subprocess.Popen(
        here, stdout=subprocess.PIPE, text=True, env=env, cwd=tmp_path
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}"
            assert subprocess.run([sys.executable, *health[1:]], env=env).returncode == 0
        finally:
            process.send_signal(getattr(signal, found["STOPSIGNAL"]))
        assert process.wait() == 0
    assert (tmp_path / "state" / "admin.key").is_file()
    ended = subprocess.run([sys.executable, *health[1:]], env=env, capture_output=True)
    assert ended.returncode == 1


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
