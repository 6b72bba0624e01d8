"""What other programs hold on to: fields and types of every JSON document, exit codes, public
names.

The tables beside this file, ``frozen/*.txt``, are what a release promises. A change that is meant
is written into them by ``pytest tests/cli/test_frozen.py --freeze``, read in the diff, and named in
the changelog.
"""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import alteraser
from alteraser import errors
from alteraser.cli.main import app, main

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARIES = HERE.parent / "adapters" / "fixtures"

ALS = "als.npz forget-als.csv --data plays.csv --rating plays --rows-are-ids"
LINES = {
    "train": "train data.csv --factors 4 --out model",
    "train, to rest": "train data.csv --factors 4 --regularization 0.5 --to-rest --out rest",
    "train, stopped": "train data.csv --factors 4 --max-passes 6 --out stopped",
    "train popularity": "train data.csv --model popularity --out popular",
    "train item-knn": "train data.csv --model item-knn --neighbors 7 --out knn",
    "train ease": "train data.csv --model ease --regularization 5 --out ease",
    "train, nothing there": "train nothing.csv --out no",
    "train, no such option": "train data.csv --no-such-option --out no",
    "train, no interactions": "train header.csv --out no",
    "forget": "forget model forget.csv --data data.csv --out model-2 --remaining rest-2.csv",
    "forget again": "forget model-2 once-more.csv --data rest-2.csv --out model-3",
    "forget, dry run": "forget model forget.csv --data data.csv --dry-run",
    "forget, converge": "forget rest forget.csv --data data.csv --method converge --out rest-2",
    "forget, stopped": "forget stopped forget.csv --data data.csv --method local --out stopped-2",
    "forget, replay": "forget model forget.csv --data data.csv --method replay --out replayed",
    "forget, retrain": "forget model forget.csv --data data.csv --method retrain --out retrained",
    "forget, influence": "forget rest forget.csv --data data.csv --method influence --out guessed",
    "forget, not reached": "forget rest forget.csv --data data.csv --method converge --max-passes "
    "1 --out short",
    "forget, users": "forget model users.csv --data data.csv --out without --remaining without.csv",
    "forget, some unmatched": "forget model unmatched.csv --data data.csv --out matched",
    "forget, grown": "forget model forget.csv --data grown.csv --grown --out grown",
    "forget, nobody": "forget model nobody.csv --data data.csv --out no",
    "forget, out exists": "forget model forget.csv --data data.csv --out rest",
    "forget, other data": "forget model forget.csv --data grown.csv --out no",
    "forget popularity": "forget popular forget.csv --data data.csv --out popular-2 --remaining "
    "rest-p.csv",
    "forget item-knn": "forget knn forget.csv --data data.csv --out knn-2",
    "forget ease": "forget ease forget.csv --data data.csv --out ease-2",
    "forget exactly, dry run": "forget knn forget.csv --data data.csv --dry-run",
    "forget implicit": f"forget {ALS} --out als-2.npz --remaining plays-2.csv",
    "forget implicit, local": f"forget {ALS} --method local --out als-3.npz",
    "forget implicit, dry run": f"forget {ALS} --dry-run",
    "forget implicit, other data": f"forget {ALS.replace('plays.csv', 'rated.csv')} --out no.npz",
    "verify": "verify model-2 --data rest-2.csv",
    "verify, before": "verify model-2 --data rest-2.csv --before model --forgotten data.csv",
    "verify, stopped": "verify stopped-2 --data rest-2.csv --before stopped --forgotten data.csv",
    "verify, not forgotten": "verify short --data rest-2.csv",
    "verify, other data": "verify model-2 --data data.csv",
    "verify popularity": "verify popular-2 --data rest-p.csv",
    "verify item-knn": "verify knn-2 --data rest-2.csv --before knn --forgotten data.csv",
    "verify implicit": "verify als-3.npz --before als.npz --data plays-2.csv --forgotten "
    "plays.csv --rating plays --rows-are-ids",
    "recommend": "recommend model --user 3 --data data.csv",
    "recommend, all": "recommend knn --all --data data.csv -k 3",
    "recommend, nobody": "recommend model --user 999 --data data.csv",
    "evaluate": "evaluate model --test test.csv --data data.csv",
    "evaluate item-knn": "evaluate knn --test test.csv --data data.csv",
    "compare": "compare model-2 retrained --data rest-2.csv",
    "compare item-knn": "compare knn-2 knn --data rest-2.csv",
    "compact": "compact without --out compacted",
    "inspect": "inspect model",
    "inspect, data": "inspect model --data data.csv",
    "inspect item-knn": "inspect knn --data data.csv",
    "inspect ease": "inspect ease-2",
    "inspect implicit": "inspect als.npz",
    "inspect implicit, data": "inspect als.npz --data plays.csv --rating plays --rows-are-ids",
    "inspect, no model": "inspect data.csv",
    "tune": "tune data.csv --factors 3 --missing-weight 0.2 --regularization 0.5,2 --no-refine "
    "--finalists 2",
    "data stats": "data stats data.csv",
    "data split": "data split data.csv --test 0.2 --out cut",
    "data generate": "data generate --users 200 --items 200 --out household",
    "data fetch, unknown": "data fetch no-such-set",
    "demo": "demo --data cut/train.parquet --users 5 --factors 3 --out demo",
    "doctor": "doctor",
    "serve, no state": "serve --state nowhere --port 0",
    "serve, half a beginning": "serve --state nowhere --model model",
    "worker, no state": "worker --state nowhere --once",
    "backup, no state": "backup nowhere --out b.tar",
    "restore, no file": "restore nowhere.tar --state st",
    "ingest, no state": "ingest data.csv --state nowhere",
    "request submit, no key": "request submit --user 1 --key-file nowhere",
    "request status, no key": "request status 0 --key-file nowhere",
    "request cancel, no key": "request cancel 0 --key-file nowhere",
    "request verify, no key": "request verify 0 --key-file nowhere",
    "request reject, no key": "request reject 0 --key-file nowhere",
    "request hold, no key": "request hold 0 --key-file nowhere",
    "request release, no key": "request release 0 --key-file nowhere",
    "request list, no key": "request list --key-file nowhere",
    "request receipt, no key": "request receipt 0 --out receipt.json --key-file nowhere",
    "receipt verify, nothing there": "receipt verify nothing.json",
    "receipt verify, no receipt": "receipt verify data.csv",
    "key add, no state": "key add --state nowhere",
    "key list, no state": "key list --state nowhere",
    "key rotate, no state": "key rotate --state nowhere 0123456789abcdef",
    "key revoke, no state": "key revoke --state nowhere 0123456789abcdef",
}
"""Every command and what it may end with, one after the other in one folder."""


def scene(folder: Path, world: Path) -> None:
    """Generated data under the names that the lines use, and a model that implicit saved."""
    for name in ("data.csv", "forget.csv", "nobody.csv", "header.csv"):
        shutil.copyfile(world / name, folder / name)
    for name, new in (("als.npz", "als.npz"), ("data.csv", "plays.csv")):
        shutil.copyfile(LIBRARIES / "implicit" / name, folder / new)
    rows = (folder / "data.csv").read_text().splitlines()
    gone = {line for line in (folder / "forget.csv").read_text().splitlines()[1:]}
    kept = [row for row in rows[1:] if row.rsplit(",", 1)[0] not in gone]
    write = {
        "grown.csv": [*rows, "61,100,5", "61,103,5"],
        "users.csv": ["user_id", "7", "8"],
        "once-more.csv": ["user_id,item_id", *(row.rsplit(",", 1)[0] for row in kept[5:15])],
        "unmatched.csv": ["user_id,item_id", kept[0].rsplit(",", 1)[0], "1,9999", "9999,100"],
        "test.csv": ["user_id,item_id", "1,101", "1,139", "2,120", "3,100", "99,100"],
        "forget-als.csv": ["user_id,item_id", "1,4", "3,24"],
        "rated.csv": ["user_id,item_id,plays", *(f"{u},{(u * 7) % 25},1" for u in range(30))],
    }
    for name, lines in write.items():
        (folder / name).write_text("\n".join(lines) + "\n")


KINDS = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}


INSTALLED = "extras."
"""A version, or null where the machine does not have it."""


def shape(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path, JSON type) of everything in a document; entries of a list share the path that ends in
    ``[]``."""
    if isinstance(value, dict):
        yield path, "object"
        for name, entry in value.items():
            yield from shape(entry, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield path, "array"
        for entry in value:
            yield from shape(entry, f"{path}[]")
    else:
        yield path, KINDS[type(value)]


def described(document: dict[str, Any]) -> list[str]:
    """A line for every field, with its types; null only where it is never anything else."""
    found: dict[str, set[str]] = {}
    for path, kind in shape(document):
        if path:
            found.setdefault(path, set()).add("string" if path.startswith(INSTALLED) else kind)
    kinds = {path: " | ".join(sorted(types - {"null"})) or "null" for path, types in found.items()}
    return [f"{path}: {kinds[path]}" for path in sorted(kinds)]


def beside(fields: list[str], earlier: dict[str, list[str]]) -> list[str]:
    """``fields``, or what they have more (+) and less (-) than those of the nearest earlier
    document."""
    name = min(earlier, key=lambda each: len(set(earlier[each]) ^ set(fields)), default=None)
    if name is None or len(set(earlier[name]) ^ set(fields)) > len(fields) / 2:
        return [f"    {field}" for field in fields]
    old, new = set(earlier[name]), set(fields)
    changed = sorted(
        [*((field, "+") for field in new - old), *((field, "-") for field in old - new)]
    )
    return [
        f"    as {name!r}" + (", but" if changed else ""),
        *(f"    {sign} {field}" for field, sign in changed),
    ]


@pytest.fixture(scope="module")
def said(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each of the lines ends with, as it stands in the table."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("frozen")
    scene(folder, world)
    found: dict[str, list[str]] = {}
    earlier: dict[str, list[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(folder / "cache"))
        for name, line in LINES.items():
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                code = main([*line.split(), "--json"])
            document = json.loads(out.getvalue()) if out.getvalue().strip() else {}
            fields = described(document)
            found[name] = [
                f"{name}: exit {code}",
                f"  alteraser {line} --json",
                *beside(fields, earlier),
            ]
            earlier[name] = fields
    return found


def hold(name: str, lines: list[str], request: pytest.FixtureRequest) -> None:
    """Compare with the table, or write it where ``--freeze`` was given."""
    path = HERE / "frozen" / f"{name}.txt"
    if request.config.getoption("--freeze"):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    frozen = path.read_text(encoding="utf-8").splitlines()
    assert lines == frozen, (
        f"{path.name} says otherwise; a change that is meant: pytest {__file__} --freeze"
    )


def test_every_command_answers_with_these_fields(
    said: dict[str, list[str]], request: pytest.FixtureRequest
) -> None:
    hold("documents", [line for entry in said.values() for line in [*entry, ""]][:-1], request)


def test_every_command_is_tried() -> None:
    """But for the experiments, which have tests of their own, and the download."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    tried = [line.split() for line in LINES.values()]
    assert commands.keys() - {"bench"} <= {words[0] for words in tried}
    assert commands["data"].commands.keys() <= {words[1] for words in tried if words[0] == "data"}


def test_every_error_has_its_exit_code(request: pytest.FixtureRequest) -> None:
    classes = sorted(
        (
            each
            for _, each in inspect.getmembers(errors, inspect.isclass)
            if issubclass(each, errors.AltEraserError)
        ),
        key=lambda each: (each.exit_code, each.__name__),
    )
    hold(
        "exit_codes",
        [f"{each.exit_code}  {each.__name__}  {each.kind}" for each in classes],
        request,
    )


def test_public_names_stay(request: pytest.FixtureRequest) -> None:
    """What ``alteraser`` exports, and every other name and option that the README shows."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```(?:sh|bash|console|python)\n(.*?)```", text, flags=re.S))
    imports = re.findall(r"^\s*(?:from|import) alteraser.*$", code, flags=re.M)
    options = {option for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}
    hold(
        "public_names",
        [
            *(f"alteraser.{name}" for name in alteraser.__all__),
            *sorted(set(line.strip() for line in imports)),
            *sorted(set(re.findall(r"\bae(?:\.\w+)+", code))),
            *sorted(options),
        ],
        request,
    )
