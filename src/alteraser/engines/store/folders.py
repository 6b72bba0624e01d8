"""Where everything of a state lies, and its secrets.

state.json      what the state was made from
ledger.sqlite   requests, batches, keys, receipts
versions/       versions of the model, by digest
added/          interactions that were added and are not learned yet
log/            leaves, checkpoint and public key of the receipts' log
secrets/        keys for signing, hashing and salting (0700); the URL of a ledger that is no file
admin.key       the first API key (0600)
serve.lock      held by the process that serves
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from alteraser.data.files import replace_file
from alteraser.data.readers import ReadingOptions
from alteraser.engines.store.version import read_document
from alteraser.errors import Conflict, IntegrityError, NotFound

STATE_FORMAT = 1
KEY_BYTES = 32


@dataclass(frozen=True)
class Folders:
    """A state directory."""

    root: Path

    @property
    def ledger(self) -> Path:
        """The database."""
        return self.root / "ledger.sqlite"

    @property
    def database_url(self) -> str | None:
        """Where the ledger lies, where that is no file."""
        try:
            return (self.root / "secrets" / "database.url").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def keep_database_url(self, url: str) -> None:
        """From here on the ledger lies in the database ``url``."""
        replace_file(self.root / "secrets" / "database.url", url.encode() + b"\n", private=True)

    @property
    def versions(self) -> Path:
        """Folder of versions."""
        return self.root / "versions"

    @property
    def added(self) -> Path:
        """Folder of what is not learned yet."""
        return self.root / "added"

    @property
    def log(self) -> Path:
        """Folder of the receipts' log."""
        return self.root / "log"

    @property
    def signing_key(self) -> Path:
        """The private key of receipts."""
        return self.root / "secrets" / "signing.key"

    @property
    def admin_key(self) -> Path:
        """The first API key."""
        return self.root / "admin.key"

    @property
    def document_path(self) -> Path:
        """``state.json``."""
        return self.root / "state.json"

    def prepare(self) -> None:
        """Make the folders and the secrets of a new state."""
        for folder in (self.versions, self.added, self.log):
            folder.mkdir()
        (self.root / "secrets").mkdir(mode=0o700)
        for name in ("hashing", "salt"):
            replace_file(
                self._secret(name), secrets.token_hex(KEY_BYTES).encode() + b"\n", private=True
            )

    def _secret(self, name: str) -> Path:
        return self.root / "secrets" / f"{name}.key"

    def secret(self, name: str) -> bytes:
        """``hashing``: of tombstones and repeated requests; ``salt``: of the data's root.
        IntegrityError.
        """
        path = self._secret(name)
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as cause:
            raise IntegrityError(
                f"{path}: no key can be read ({cause}); restore it from a backup"
            ) from cause
        if len(key) != KEY_BYTES:
            raise IntegrityError(
                f"{path}: expected {KEY_BYTES} bytes in hexadecimal; restore it from a backup"
            )
        return key

    def write_document(self, origin: str, source: str | None, reading: ReadingOptions) -> None:
        """``state.json``, last of a new state: how interactions are read that are added later."""
        document = {
            "format": STATE_FORMAT,
            "origin": origin,
            "model": source,
            "reading": reading.model_dump(),
        }
        replace_file(
            self.document_path, json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        )

    def document(self) -> dict[str, Any]:
        """``state.json``; NotFound where this is no state, IntegrityError."""
        try:
            found = json.loads(self.document_path.read_bytes())
        except FileNotFoundError:
            raise NotFound(
                f"{self.root} is no state of the service: start one with alteraser serve --state "
                f"{self.root} --model MODEL --data FILE",
                path=str(self.root),
            ) from None
        except ValueError as cause:
            raise IntegrityError(
                f"{self.document_path} cannot be read; restore it from a backup"
            ) from cause
        if not isinstance(found, dict):
            raise IntegrityError(f"{self.document_path} cannot be read; restore it from a backup")
        if found.get("format") != STATE_FORMAT:
            raise IntegrityError(
                f"{self.document_path} has format {found.get('format')!r}: upgrade AltEraser"
            )
        return dict(found)

    def check(self) -> None:
        """IntegrityError where a folder of the state is missing, or is none."""
        for folder in (self.versions, self.added, self.log):
            if not folder.is_dir():
                raise IntegrityError(f"{folder} is no folder; restore the state from a backup")

    def floors(self) -> dict[str, int]:
        """The erasure floor that each version on disk says it was made with."""
        found = {}
        for folder in sorted(self.versions.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                found[folder.name] = int(read_document(folder).get("floor", 0))
        return found

    def lock(self) -> IO[str]:
        """Hold the state for a process that serves it; Conflict ``locked`` where another does.
        Close it to let go.
        """
        file = open(self.root / "serve.lock", "a+", encoding="ascii")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            file.close()
            raise Conflict(
                f"{self.root} is served by another process ({holder}); stop that first, or use "
                "another state",
                code="locked",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        return file
