"""What a receipt shows to somebody who has nothing but the file, and what it cannot show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alteraser.data.files import small_file
from alteraser.errors import IntegrityError, InvalidInput, NotFound, ResourceLimit
from alteraser.ledger import merkle
from alteraser.ledger.canonical import parsed
from alteraser.ledger.envelope import key_id, opened
from alteraser.ledger.log import STATEMENT, Log, checkpoint
from alteraser.ledger.requests import commitment

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:alteraser:erasure-receipt:1"

LIMITS = {
    "PRIOR_RELEASES_NOT_RECALLED": "whoever had an earlier model or list still has it",
    "DELETION_INFERENCE_POSSIBLE": "who compares answers from before and after may tell what was "
    "deleted",
    "BASIN_NOT_PROVED": "another optimum could have been reached from a fresh start",
    "CURVATURE_ESTIMATED": "the distance to the optimum is measured, not proved",
    "NO_DP": "no differential privacy is given",
    "NO_ADAPTIVE_DP": "nothing is promised against deletions chosen after seeing models",
    "HYPERPARAMETERS_NOT_RESELECTED": "settings were chosen when the data were still there",
    "BACKUPS_NOT_COVERED": "copies made outside the service are not reached by it",
    "DERIVED_EXPORTS_NOT_COVERED": "files that were exported are not reached",
    "DOWNSTREAM_UNCONFIRMED": "systems that were fed by it have not confirmed",
    "IDENTITY_ASSERTED_BY_CONTROLLER": "that the right person asked is what the sender of the "
    "request says",
    "PROVIDER_TRUSTED": "that the ledger was told the truth is not proved",
}
"""Codes that a receipt carries unless the opposite was shown, in words"""


@dataclass(frozen=True)
class Checked:
    """A receipt that is in order."""

    statement: dict[str, Any]
    key: str
    """Id of the key that signed"""
    trusted: bool
    """Whether that key was given, and not only the one in the file"""
    leaf: int
    size: int
    opened: bool | None
    """Whether the commitment is that of the request that was shown; None: none was"""

    @property
    def predicate(self) -> dict[str, Any]:
        """What is said."""
        return dict(self.statement["predicate"])


def check(
    content: bytes,
    *,
    log: Log | None = None,
    public: bytes | None = None,
    request: tuple[str, str] | None = None,
) -> Checked:
    """Check the file ``content``; IntegrityError, whose ``step`` says where it fails.

    ``log``: the issuer's; the receipt must be in it. ``public``: the key that the issuer is known
    by. None: that of ``log``, or the one in the file, which shows no more than that the file is
    whole. ``request``: (salt, what was asked as JSON), to see that the receipt is about that.
    """
    found = parsed(content, "the receipt")
    if not isinstance(found, dict) or found.keys() != {"envelope", "log", "public_key"}:
        raise IntegrityError("the receipt: not one of this format", step="format")
    known = public or (None if log is None else log.public)
    key = known or _key(found["public_key"])
    if found["public_key"] != key.hex():
        raise IntegrityError("the receipt: signed by another key than the issuer's", step="key")
    body = opened(found["envelope"], STATEMENT, key, "the receipt")
    statement = _statement(body)
    leaf, size = _included(found["log"], body, key)
    if log is not None and (size > len(log.leaves) or log.leaves[leaf] != merkle.leaf(body)):
        raise IntegrityError(f"the receipt: the log has something else as leaf {leaf}", step="log")
    if (
        log is not None
        and merkle.root(log.leaves[:size]).hex()
        != checkpoint(found["log"]["checkpoint"], key)["root"]
    ):
        raise IntegrityError(
            "the receipt: its tree is no beginning of the log's", step="consistency"
        )
    same = None
    if request is not None:
        said = statement["predicate"]["request"]["commitment"]
        same = commitment(*request) == said
        if not same:
            raise IntegrityError(
                "the receipt: it is not about the request that was shown", step="commitment"
            )
    return Checked(statement, key_id(key), known is not None, leaf, size, same)


def _key(text: Any) -> bytes:
    try:
        key = bytes.fromhex(text)
        if len(key) != 32 or key.hex() != text:
            raise ValueError("32 bytes in hexadecimal")
    except (ValueError, TypeError) as cause:
        raise IntegrityError("the receipt: its public key is none", step="key") from cause
    return key


def _statement(body: bytes) -> dict[str, Any]:
    found = parsed(body, "the statement")
    if (
        not isinstance(found, dict)
        or found.get("_type") != STATEMENT_TYPE
        or found.get("predicateType") != PREDICATE_TYPE
        or not isinstance(found.get("predicate"), dict)
    ):
        raise IntegrityError("the receipt: its statement is none of an erasure", step="statement")
    return found


def _included(part: Any, body: bytes, key: bytes) -> tuple[int, int]:
    try:
        if part.keys() != {"checkpoint", "inclusion", "leaf"}:
            raise KeyError("log")
        proof = [bytes.fromhex(each) for each in part["inclusion"]]
        if [each.hex() for each in proof] != part["inclusion"] or type(part["leaf"]) is not int:
            raise ValueError("form")
        leaf = part["leaf"]
    except (KeyError, ValueError, TypeError, AttributeError) as cause:
        raise IntegrityError("the receipt: its proof is none", step="inclusion") from cause
    tree = checkpoint(part["checkpoint"], key)
    if not merkle.includes(
        merkle.leaf(body), leaf, tree["size"], proof, bytes.fromhex(tree["root"])
    ):
        raise IntegrityError(
            "the receipt: the proof does not lead to the checkpoint's tree", step="inclusion"
        )
    return leaf, tree["size"]


def read_public(path: Path) -> bytes:
    """A public key in a file, as in the log's folder; IntegrityError."""
    try:
        return _key(small_file(path, 4096).decode("ascii").strip())
    except (InvalidInput, NotFound, ResourceLimit, UnicodeDecodeError) as cause:
        raise IntegrityError(f"{path}: no public key can be read ({cause})", step="key") from cause
