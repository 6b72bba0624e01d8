"""A version: a model, the interactions it stands for and what it has erased, in a folder that is
named by its digest.

model/                 the model's folder, as ``alteraser verify`` takes it
model.key              the keys of its record of who was erased
interactions.parquet   user_id, item_id, and timestamp, confidence, target where there are some
relations-N.parquet, features-N.parquet, entities-N.parquet, setup.toml
                       what else a model of several sources learned from, see ``data.side.holding``
tombstones.parquet     see ``tombstones``
changed-….parquet      see ``changes``
version.json           SHA-256 of every other file; its own digest is the version's name
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from alteraser.data.files import publish_directory, replace_file, sha256_file
from alteraser.data.interactions import Interactions
from alteraser.engines.store import held
from alteraser.engines.store.changes import StoredChanges
from alteraser.engines.store.held import Held
from alteraser.engines.store.roots import FORM
from alteraser.engines.store.tombstones import Tombstones
from alteraser.errors import IntegrityError, NotFound
from alteraser.models.folder import load_model
from alteraser.models.protocol import Recommender
from alteraser.runtime.durable import point

FORMAT = 1
MODEL, TOMBSTONES, DOCUMENT = "model", "tombstones.parquet", "version.json"
STAGING = ".new-"
"""Names of folders that are being written begin with it"""


@dataclass(frozen=True)
class Content:
    """What a version consists of."""

    model: Recommender
    held: Held
    """What it stands for"""
    tombstones: Tombstones
    changes: StoredChanges | None
    """What became different; None: nobody looked, so it may be all"""


@dataclass(frozen=True)
class Version:
    """A version that is on disk, all digests checked."""

    id: str
    folder: Path
    document: dict[str, Any]
    content: Content

    @property
    def model(self) -> Recommender:
        """As published."""
        return self.content.model

    @property
    def held(self) -> Held:
        """What ``model`` stands for."""
        return self.content.held

    @cached_property
    def data(self) -> Interactions:
        """Its pairs, in the rows of ``model``."""
        return held.pairs_of(self.content.held)


def write(root: Path, content: Content, what: dict[str, Any], *, salt: bytes) -> Version:
    """Write a version below ``root``, durable and whole when this returns; one that is there
    already stays.

    ``what`` says what it was made from; it is part of the digest, and must be the same for the same
    version.
    """
    staging = root / f"{STAGING}{secrets.token_hex(6)}"
    point("write", staging)
    staging.mkdir(parents=True)
    try:
        model: Any = content.model
        reading = held.reading_of(content.held)
        saved = replace(model, reading=reading).save(staging / MODEL)
        point("write", staging)
        held.write(content.held, staging)
        content.tombstones.write(staging / TOMBSTONES)
        changes = {}
        if content.changes is not None:
            content.changes.write(staging)
            changes = {"changes": content.changes.document}
        found = sorted(path for path in staging.rglob("*") if path.is_file())
        files = {str(path.relative_to(staging)): sha256_file(path) for path in found}
        trained_on, (root_of_data, sources) = saved.trained_on, held.roots_of(content.held, salt)
        document = {
            "format": FORMAT,
            "kind": saved.kind,
            "model": saved.digest,
            "data": {
                **trained_on.to_document(),
                "root": root_of_data,
                "root_form": FORM,
            }
            | ({"sources": sources} if sources else {}),
            "files": files,
            **changes,
            **what,
        }
        text = json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"
        replace_file(staging / DOCUMENT, text)
        name = hashlib.sha256(text).hexdigest()
        if not (root / name).exists():
            publish_directory(staging, root / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return load(root / name)


def load(folder: Path) -> Version:
    """Read a version, checking every byte; NotFound, or IntegrityError."""
    document = read_document(folder)
    for name, expected in document["files"].items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != expected:
            raise IntegrityError(
                f"{path} is missing or does not match its digest: the version is damaged; restore "
                "it from a backup",
                code="digest",
            )
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    strange = found - document["files"].keys() - {DOCUMENT}
    if strange:
        raise IntegrityError(
            f"{folder} holds {min(strange)}, which is no part of the version; move it away"
        )
    model = load_model(folder / MODEL)
    if model.digest != document["model"]:
        raise IntegrityError(
            f"{folder}: the model is not that of the version", code="manifest_mismatch"
        )
    try:
        found_held = held.read(folder, model)
        tombstones = Tombstones.read(folder / TOMBSTONES)
        changes = StoredChanges.read(folder, document)
    except (pa.ArrowException, KeyError, TypeError) as cause:
        raise IntegrityError(f"{folder}: the tables cannot be read ({cause})") from cause
    content = Content(model, found_held, tombstones, changes)
    return Version(folder.name, folder, document, content)


def read_document(folder: Path) -> dict[str, Any]:
    """``version.json``, which has the digest that the folder is named by."""
    try:
        text = (folder / DOCUMENT).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no version at {folder}", path=str(folder)) from None
    if hashlib.sha256(text).hexdigest() != folder.name:
        raise IntegrityError(
            f"{folder / DOCUMENT} does not have the digest that the folder is named by",
            code="digest",
        )
    document: dict[str, Any] = json.loads(text)
    if document["format"] != FORMAT:
        raise IntegrityError(
            f"{folder / DOCUMENT} has format {document['format']}, this AltEraser reads {FORMAT}: "
            "upgrade it"
        )
    return document
