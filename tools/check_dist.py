"""What is in the archives under dist/, and that the wheel installs and runs where nothing else is.

    make test-wheel
        # builds first; Python 3.11 to 3.13, as far as they are on this machine
    python tools/check_dist.py dist        # of archives that are there
    python tools/check_dist.py dist --python 3.12

Interpreters that are not there are named and skipped; without any, or where anything fails, the
exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13")
BESIDE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CITATION.cff",
    "LICENSE",
    "Makefile",
    "constraints.txt",
    "pyproject.toml",
)
FOLDERS = ("src", "tests", "docs", "tools", "deploy")
IN_WHEEL = ("__init__.py", "common.py")
"""Of the files that lie directly in bench/: the others measure the program itself, and need the
source."""
BENCH = "alteraser/bench/"
COMMANDS = (
    "--version",
    "doctor --json",
    "data generate --users 200 --items 200 --out household --json",
    "train household --factors 4 --out model --json",
    "forget model household/forget-child.parquet --data household --out model-2 --remaining "
    "rest.parquet --json",
    "verify model-2 --data rest.parquet --before model --json",
    "recommend model-2 --all --data rest.parquet --json",
    "bench --help",
    "bench paper --help",
)


def main() -> int:
    """Check both archives, then each interpreter; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dist", type=Path)
    parser.add_argument("--python", action="append", choices=VERSIONS)
    given = parser.parse_args()
    (source,), (wheel,) = ([*given.dist.glob(pattern)] for pattern in ("*.tar.gz", "*.whl"))
    faults = [*faults_of_source(source), *faults_of_wheel(wheel)]
    ran = 0
    for version in given.python or VERSIONS:
        interpreter = find(version)
        if interpreter is None:
            print(f"Python {version}: not on this machine, skipped")
            continue
        found = faults_of_run(interpreter, wheel)
        print(f"Python {version} ({interpreter}): {'ok' if not found else 'FAILED'}", flush=True)
        faults += [f"Python {version}: {fault}" for fault in found]
        ran += 1
    if not ran:
        faults.append("no Python to run the wheel with")
    print(*faults, sep="\n", file=sys.stderr)
    return 1 if faults else 0


def tracked(*folders: str) -> set[str]:
    """Files that git knows under ``folders``; what is on disk there, where this is no checkout."""
    listed = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return set(listed.stdout.splitlines())
    return {
        str(path.relative_to(ROOT))
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and "_build" not in path.parts
    }


def faults_of_source(archive: Path) -> list[str]:
    """The source archive holds what builds, tests and documents it, and nothing that is not in the
    repository.
    """
    with tarfile.open(archive) as file:
        names = {
            name.partition("/")[2] for name in file.getnames() if not file.getmember(name).isdir()
        }
    wanted = {*BESIDE, *tracked(*FOLDERS)}
    extra = names - wanted - {"PKG-INFO", ".gitignore"}
    return [f"{archive.name} lacks {name}" for name in sorted(wanted - names)] + [
        f"{archive.name} holds {name}, which is not in the repository" for name in sorted(extra)
    ]


def faults_of_wheel(archive: Path) -> list[str]:
    """The wheel holds the package, whole, and nothing else; its metadata say what an index
    needs.
    """
    with zipfile.ZipFile(archive) as file:
        names = set(file.namelist())
        (place,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = Parser().parsestr(file.read(f"{place}/METADATA").decode())
        entries = file.read(f"{place}/entry_points.txt").decode()
    package = {name.removeprefix("src/") for name in tracked("src")}
    package -= {
        name
        for name in package
        if name.startswith(BENCH)
        and name.removeprefix(BENCH) not in IN_WHEEL
        and "/" not in name.removeprefix(BENCH)
    }
    faults = [f"{archive.name} lacks {name}" for name in sorted(package - names)]
    faults += [
        f"{archive.name} holds {name}"
        for name in sorted(names - package)
        if not name.startswith(f"{place}/")
    ]
    if f"{place}/licenses/LICENSE" not in names:
        faults.append(f"{archive.name} lacks its license")
    if "alteraser = alteraser.cli:main" not in entries:
        faults.append(f"{archive.name} has no command")
    for key in (
        "Name",
        "Version",
        "Summary",
        "License-Expression",
        "Requires-Python",
        "Author",
        "Keywords",
        "Description-Content-Type",
    ):
        if not metadata[key]:
            faults.append(f"{archive.name}: the metadata have no {key}")
    if f"\nversion: {metadata['Version']}\n" not in (ROOT / "CITATION.cff").read_text(
        encoding="utf-8"
    ):
        faults.append(f"CITATION.cff names another version than {metadata['Version']}")
    said = {
        line.rpartition(" ")[2]
        for line in metadata.get_all("Classifier", [])
        if "Python :: 3." in line
    }
    if said != set(VERSIONS):
        faults.append(f"{archive.name}: classifiers say {sorted(said)}, expected {VERSIONS}")
    return faults


def find(version: str) -> Path | None:
    """An interpreter of this very version, on the path or where pyenv keeps them."""
    roots = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}*"), reverse=True)
    there = [
        shutil.which(f"python{version}"),
        sys.executable,
        *(str(root / "bin" / "python") for root in roots),
    ]
    for each in there:
        if each is None:
            continue
        asked = subprocess.run(
            [each, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() == version:
            return Path(each)
    return None


def faults_of_run(interpreter: Path, wheel: Path) -> list[str]:
    """Install ``wheel`` alone and run the main commands in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        place, here = Path(folder, "venv"), Path(folder, "empty")
        here.mkdir()
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "VIRTUAL_ENV")
        }
        environment |= {"XDG_CACHE_HOME": str(Path(folder, "cache")), "PYTHONNOUSERSITE": "1"}
        python = str(place / "bin" / "python")

        def call(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                words, cwd=here, env=environment, capture_output=True, text=True, check=False
            )

        for words in (
            (str(interpreter), "-m", "venv", str(place)),
            (
                python,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                str(wheel.absolute()),
            ),
            (python, "-m", "pip", "check"),
        ):
            done = call(*words)
            if done.returncode:
                return [f"{' '.join(words)}: {done.stdout[-500:]}{done.stderr[-1500:]}"]
        where = call(python, "-c", "import alteraser; print(alteraser.__file__)").stdout
        faults = [] if str(place) in where else [f"imports {where}"]
        for at, line in enumerate(COMMANDS):  # by the script and by the module in turn
            start = (str(place / "bin" / "alteraser"),) if at % 2 else (python, "-m", "alteraser")
            done = call(*start, *line.split())
            if done.returncode:
                return [*faults, f"alteraser {line}: exit {done.returncode}: {done.stderr[-1500:]}"]
            if "--json" in line:
                json.loads(done.stdout)
        done = call(python, "-m", "alteraser", "bench", "kernels")
        if done.returncode != 9 or "comes with the source" not in done.stderr:
            faults.append(f"alteraser bench kernels: exit {done.returncode}: {done.stderr[-1500:]}")
        return faults


if __name__ == "__main__":
    sys.exit(main())
