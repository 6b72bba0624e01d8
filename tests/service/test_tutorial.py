"""The tutorial of the service runs as it stands, and the commands that talk to the service do what
it says."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from alteraser.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-service.md"


def block(heading: str) -> list[str]:
    part = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = "".join(part.split("```console\n")[1:]).split("```")[0].replace("\\\n", " ")
    return [line for line in lines.splitlines() if line]


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    name, *arguments = shlex.split(line)
    assert name == "alteraser"
    found = [
        str(path)
        for each in arguments
        for path in (sorted(Path().glob(each)) if "*" in each else [each])
    ]
    capsys.readouterr()
    code = main(found)
    out, err = capsys.readouterr()
    return code, out if code == 0 else err


def test_from_a_deletion_request_to_a_receipt(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for line in block("A model to serve"):
        assert run(f"{line} -q", capsys)[0] == 0, line
    (start,) = block("Start the service")
    command = [sys.executable, "-m", *shlex.split(start), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        monkeypatch.setenv("ALTERASER_URL", process.stdout.readline().strip())
        (ask,) = block("Ask first")
        code, out = run(f"{ask} --json", capsys)
        asked = json.loads(out)["counts"]
        assert (code, asked["matched"]) == (0, 2)
        (send,) = block("Send the request")
        code, out = run(f"{send} --json", capsys)
        done = json.loads(out)
        assert (code, done["status"], done["counts"]) == (0, "completed", asked)
        fetch, check = block("The receipt")
        assert run(fetch.replace("REQUEST", done["request_id"]), capsys)[0] == 0
        code, out = run(f"{check} --page receipt.html", capsys)
        assert code == 0
        page = Path("receipt.html").read_text("utf-8")
        assert f"{asked['interactions']} interactions went" in page
        assert '<strong class="good">In order' in page
        assert not re.search(r"(src|href)=|<script|https?:", page), "it needs nothing else"
        assert run(f"{check} --page receipt.html", capsys)[0] == 4
        assert run(f"{check.partition(' --log')[0]} --page bare.html", capsys)[0] == 0
        assert "Compare that key" in Path("bare.html").read_text("utf-8")
        assert f"{asked['interactions']} removed" in out
        (verify,) = block("Nobody comes back")
        assert run(verify, capsys)[0] == 0
        key = "--key-file state/admin.key"
        code, out = run(f"alteraser request submit --user a --since 5 --until 4 {key}", capsys)
        assert (code, "not before" in out) == (2, True), out
        assert run(f"alteraser request submit {key}", capsys)[0] == 2
        held = json.loads(run(f"alteraser request submit --user 9 --hold {key} --json", capsys)[1])[
            "request_id"
        ]
        assert "held" in run(f"alteraser request status {held} {key}", capsys)[1].split()
        assert held in run(f"alteraser request list --status held {key}", capsys)[1]
        assert run(f"alteraser request release {held} {key}", capsys)[0] == 0
        assert run(f"alteraser request release {held} {key}", capsys)[0] == 4
        held = json.loads(run(f"alteraser request submit --user 8 --hold {key} --json", capsys)[1])[
            "request_id"
        ]
        assert run(f"alteraser request verify {held} {key}", capsys)[0] == 4
        assert run(f"alteraser request reject {held} {key}", capsys)[0] == 4
        assert run(f"alteraser request hold {held} {key}", capsys)[0] == 4
        assert run(f"alteraser request cancel {held} {key}", capsys)[0] == 0
        assert run(f"alteraser request cancel {held} {key}", capsys)[0] == 4
        assert run("alteraser request list --key-file nothing", capsys)[0] == 3
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
    monkeypatch.setenv("ALTERASER_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert run(f"alteraser request list {key}", capsys)[0] == 9
