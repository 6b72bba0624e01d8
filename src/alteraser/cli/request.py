"""alteraser request: submit, status, cancel, verify, reject, hold, release, list, receipt"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from itertools import product
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alteraser.cli import common
from alteraser.cli.screen import Screen
from alteraser.errors import DependencyMissing, InvalidInput

if TYPE_CHECKING:
    from alteraser.client import Client

app = typer.Typer(no_args_is_help=True)

Url = Annotated[str, typer.Option("--url", envvar="ALTERASER_URL", help="Where the service is.")]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key-file", envvar="ALTERASER_KEY_FILE", help="A file with the API key: DIR/admin.key."
    ),
]
RequestId = Annotated[str, typer.Argument(metavar="ID", help="The request's id.")]
HERE = "http://127.0.0.1:8080"
IDS = ("users", "items", "sessions", "baskets", "user", "entities")
"""Fields of a body that are ids"""
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")


def _client(url: str, key_file: Path) -> Client:
    from alteraser.client import Client, read_key

    return Client(url, read_key(key_file))


@app.command()
def submit(
    key_file: KeyFile,
    url: Url = HERE,
    user: Annotated[
        list[str] | None, typer.Option("--user", help="A user; give it several times.")
    ] = None,
    item: Annotated[
        list[str] | None, typer.Option("--item", help="An item; give it several times.")
    ] = None,
    session: Annotated[
        list[str] | None,
        typer.Option(
            "--session", help="A session, with one --user of theirs alone; give it several times."
        ),
    ] = None,
    basket: Annotated[
        list[str] | None, typer.Option("--basket", help="A basket, likewise.")
    ] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(
            "--entity",
            metavar="TABLE=ID",
            help="Of a model of kind linear: an entity everywhere, or a word: tag=jazz. Give it "
            "several times.",
        ),
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attributes",
            metavar="TABLE:FEATURE",
            help="Likewise what is known of everybody or, with --user or --item, of these: "
            "user:age. Give it several times.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Likewise rows of this relation alone, of --user or --item.",
            show_default="every source",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", help="The request as JSON, as it is sent over HTTP.", show_default=False
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="With one user: only what is not earlier.", show_default=False
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", help="With one user: only what is earlier.", show_default=False),
    ] = None,
    regulation: Annotated[
        str, typer.Option("--regulation", help="gdpr (a month) or ccpa (45 days).")
    ] = "gdpr",
    due: Annotated[
        str | None,
        typer.Option(
            "--due", help="An earlier day by which it has to be done.", show_default=False
        ),
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Take it in under a legal hold: nothing is done yet.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            help="What you call it: the same again is the same request.",
            show_default="a random one",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done.")] = False,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Send an erasure request: everything of users, everything of items, or what JSON says; of a
    model of kind linear in every source, or --from one.

    Takes under 1 s; with --wait as long as the work.

    Example: alteraser request submit --user 42 --key-file state/admin.key
    """
    named = {"users": user, "items": item, "sessions": session, "baskets": basket}
    several = _of_sources(entity, attributes, from_)
    given = {name: ids for name, ids in named.items() if ids}
    if several.keys() & {"entities", "attributes"}:
        body = _named_in_sources(given, several, file, since, until)
    else:
        body = _body(given, file, since, until) | several
    body |= {"regulation": regulation} if file is None else {}
    body |= ({"due": due} if due else {}) | ({"hold": True} if hold else {})
    document: Mapping[str, Any]
    name = secrets.token_hex(16) if name is None else name
    with _client(url, key_file) as client:
        if dry_run:
            document = _sent(body, file, client.dry_run)
        else:
            document = _sent(body, file, _named(client, name)) | {"idempotency_key": name}
            if wait:
                document = {**client.wait(document["request_id"]), "idempotency_key": name}
    _show(document, quiet, json)


def _named(client: Client, name: str) -> Callable[[dict[str, Any]], Mapping[str, Any]]:
    """Sends a request under ``name``, and says it where nobody knows whether it arrived."""

    def send(asked: dict[str, Any]) -> Mapping[str, Any]:
        try:
            return client.submit(asked, idempotency_key=name)
        except DependencyMissing as error:
            raise DependencyMissing(
                f"{error.message} Send it again with --idempotency-key {name}: if it arrived, it "
                "is not taken in twice.",
                **error.details,
                idempotency_key=name,
            ) from error

    return send


def _sent(
    body: dict[str, Any], file: Path | None, send: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> dict[str, Any]:
    """What is answered. JSON says itself what its ids are; the command line's have no type."""
    return dict(send(body)) if file is not None else _as_the_ids_are(body, send)


def _of_sources(
    entity: list[str] | None, attributes: list[str] | None, source: str | None
) -> dict[str, Any]:
    """The fields of a body that name sources, or what is in them."""
    entities = []
    for text in entity or ():
        table, equals, name = text.partition("=")
        if not (table and equals and name):
            raise InvalidInput(f"--entity {text}: expected TABLE=ID, such as tag=jazz")
        entities.append({"table": table, "id": name})
    found = {"entities": entities, "attributes": attributes, "from": source}
    return {name: value for name, value in found.items() if value}


def _named_in_sources(
    given: dict[str, list[str]],
    several: dict[str, Any],
    file: Path | None,
    since: str | None,
    until: str | None,
) -> dict[str, Any]:
    """The body of a request for entities, or for attributes of somebody or of everybody."""
    if len(several) > 1 or file is not None or since is not None or until is not None:
        raise InvalidInput(
            "--entity or --attributes alone, without --from, --file, --since and --until: a "
            "request names one thing"
        )
    if given and ("entities" in several or len(given) > 1 or given.keys() - {"users", "items"}):
        raise InvalidInput("--attributes goes with --user or with --item, --entity with nothing")
    return {**given, **several}


def _body(
    given: dict[str, list[str]], file: Path | None, since: str | None, until: str | None
) -> dict[str, Any]:
    """The body of a request for the ids in ``given``, by the names of its fields, or what is in
    ``file``.
    """
    users = given.get("users", [])
    of_user = file is None and len(given) == 2 and len(users) == 1 and "items" not in given
    if not of_user and len(given) + (file is not None) != 1:
        raise InvalidInput(
            "give --user, --item, --session, --basket or --file, and one of them (one --user may "
            "go with --session or --basket): a request never means all"
        )
    if file is not None:
        return _of_file(file)
    window = _window(since, until)
    if window and (of_user or len(users) != 1):
        raise InvalidInput("--since and --until go with one --user")
    if not window and not of_user:
        return dict(given)
    others = {name: ids for name, ids in given.items() if name != "users"}
    return {**others, "user": users[0], **window}


def _window(since: str | None, until: str | None) -> dict[str, Any]:
    """The ends that are given, as numbers where they are some."""
    ends = {name: text for name, text in (("since", since), ("until", until)) if text is not None}
    return {name: int(text) if INTEGER.fullmatch(text) else text for name, text in ends.items()}


def _of_file(file: Path) -> dict[str, Any]:
    """What is in ``file``, read as the service reads a body."""
    from alteraser.data.files import small_file
    from alteraser.ledger.bodies import BODY, parse

    found: dict[str, Any] = parse(small_file(file, BODY))
    if not isinstance(found, dict):
        raise InvalidInput(f"{file}: expected a JSON object", code="body")
    return found


def _as_the_ids_are(body: dict[str, Any], send: Any) -> dict[str, Any]:
    """Text of the command line is sent as numbers where all of it is, and as text where the service
    has text.
    """
    named = [name for name in IDS if name in body and _numbers(body[name]) != body[name]]
    for texts in product((False, True), repeat=len(named)):  # each of them may be either
        ids = zip(named, texts, strict=True)
        tried = body | {name: _numbers(body[name]) for name, text in ids if not text}
        try:
            return dict(send(tried))
        except InvalidInput as error:
            if error.details.get("code") != "id_type" or all(texts):
                raise
    raise AssertionError("the last one is raised")


def _numbers(given: Any) -> Any:
    if isinstance(given, dict):
        return {**given, "id": _numbers(given["id"])}
    if isinstance(given, list) and given and isinstance(given[0], dict):
        return [_numbers(each) for each in given]
    if isinstance(given, list):
        found = [_numbers(each) for each in given]
        return found if all(isinstance(each, int) for each in found) else given
    return int(given) if isinstance(given, str) and INTEGER.fullmatch(given) else given


@app.command()
def status(
    request: RequestId,
    key_file: KeyFile,
    url: Url = HERE,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done.")] = False,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Show a request. Takes under 1 s.

    Example: alteraser request status 0123… --key-file state/admin.key
    """
    with _client(url, key_file) as client:
        _show(client.wait(request) if wait else client.status(request), quiet, json)


STEPS = {
    "cancel": "Cancel a request on which no work was begun; exit code 4 afterwards.",
    "verify": "Vouch for who asked, with a key that may: the request goes into the queue.",
    "reject": "End a request for which nobody vouches.",
    "hold": "Put a legal hold on a request that waits: nothing is done until it is released, and "
    "the due date stays.",
    "release": "End a legal hold: the request goes into the queue.",
}
"""What may be done to a request that is there, a command each, by the client's method of its
name."""


def _step(name: str, says: str) -> Callable[..., None]:
    def command(
        request: RequestId,
        key_file: KeyFile,
        url: Url = HERE,
        quiet: common.Quiet = False,
        json: common.Json = False,
    ) -> None:
        with _client(url, key_file) as client:
            _show(methodcaller(name, request)(client), quiet, json)

    command.__doc__ = f"""{says} Takes under 1 s.

    Example: alteraser request {name} 0123… --key-file state/admin.key
    """
    return command


for _name, _says in STEPS.items():
    app.command(_name)(_step(_name, _says))


@app.command("list")
def list_requests(
    key_file: KeyFile,
    url: Url = HERE,
    status: Annotated[
        str | None, typer.Option("--status", help="Only those with it.", show_default=False)
    ] = None,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """List requests in the order they were received. Takes under 1 s.

    Example: alteraser request list --status queued --key-file state/admin.key
    """
    with _client(url, key_file) as client:
        found = client.listed(status=status)
    rows = [
        (each["request_id"], f"{each['status']}, {each['kind']}, due {each['due'][:10]}")
        for each in found
    ]
    Screen(json, quiet).result({"requests": found}, rows or [("requests", "none")])


@app.command()
def receipt(
    request: RequestId,
    key_file: KeyFile,
    out: Annotated[Path, typer.Option("--out", help="New file.")],
    url: Url = HERE,
    quiet: common.Quiet = False,
    json: common.Json = False,
) -> None:
    """Fetch the receipt of a request that is done. Takes under 1 s.

    Example: alteraser request receipt 0123… --out receipt.json --key-file state/admin.key
    """
    from alteraser.data.files import atomic_write

    with _client(url, key_file) as client:
        content = client.receipt(request)
    with atomic_write(out) as file:
        file.write(content)
    Screen(json, quiet).result(
        {"receipt": str(out), "bytes": len(content)}, [("receipt", str(out))]
    )


def _show(document: Mapping[str, Any], quiet: bool, json: bool) -> None:
    shown = {
        name: value for name, value in document.items() if name != "events" and value is not None
    }
    rows = [(name.replace("_", " "), _words(value)) for name, value in shown.items()]
    Screen(json, quiet).result(dict(document), rows)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each:,}" for name, each in value.items())
    return str(value)
