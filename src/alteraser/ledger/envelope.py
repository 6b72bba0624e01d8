"""A signature over a type and a body together: DSSE, with Ed25519.

    PAE(type, body) = "DSSEv1" SP len(type) SP type SP len(body) SP body

The signature is checked before the body is looked into; a key id is a hint and proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import Any

from alteraser.data.files import replace_file
from alteraser.errors import IntegrityError
from alteraser.runtime.extras import require

PRIVATE = "signing.key"


def pae(kind: str, body: bytes) -> bytes:
    """What is signed.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)


class Signer:
    """The private key of a state; ``public`` is its 32 bytes that anybody may have."""

    def __init__(self, secret: bytes) -> None:
        require("cryptography", "service", "signing receipts")
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public = self._key.public_key().public_bytes_raw()

    @classmethod
    def make(cls, path: Path) -> Signer:
        """A new key in the file ``path``, which only its owner may read."""
        secret = os.urandom(32)
        replace_file(path, secret.hex().encode() + b"\n", private=True)
        return cls(secret)

    @classmethod
    def load(cls, path: Path) -> Signer:
        """The key in ``path``; IntegrityError where there is none."""
        try:
            secret = bytes.fromhex(path.read_text(encoding="ascii").strip())
            return cls(secret)
        except (OSError, ValueError) as cause:
            raise IntegrityError(
                f"{path}: no signing key can be read ({cause}); restore it from a backup"
            ) from cause

    def sign(self, kind: str, body: bytes) -> dict[str, Any]:
        """The envelope of ``body``."""
        signature = self._key.sign(pae(kind, body))
        return {
            "payloadType": kind,
            "payload": encoded(body),
            "signatures": [{"keyid": key_id(self.public), "sig": encoded(signature)}],
        }


def opened(envelope: Any, kind: str, public: bytes, what: str) -> bytes:
    """The body of an envelope of type ``kind`` that the owner of ``public`` signed; else
    IntegrityError.
    """
    require("cryptography", "service", "checking receipts")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        if (
            envelope.keys() != {"payloadType", "payload", "signatures"}
            or len(envelope["signatures"]) != 1
        ):
            raise KeyError("signatures")
        (signature,) = envelope["signatures"]
        if signature.keys() != {"keyid", "sig"}:
            raise KeyError("sig")
        given, body, sig = (
            envelope["payloadType"],
            decoded(envelope["payload"]),
            decoded(signature["sig"]),
        )
        name = signature["keyid"]
    except (KeyError, TypeError, AttributeError, ValueError) as cause:
        raise IntegrityError(
            f"{what}: not an envelope with one signature", step="envelope"
        ) from cause
    if given != kind:
        raise IntegrityError(f"{what}: of type {given!r}, expected {kind}", step="type")
    if name != key_id(public):
        raise IntegrityError(
            f"{what}: signed by another key ({name}), expected {key_id(public)}", step="key"
        )
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(sig, pae(kind, body))
    except (InvalidSignature, ValueError) as cause:
        raise IntegrityError(
            f"{what}: the signature is not that of this content", step="signature"
        ) from cause
    return body


def key_id(public: bytes) -> str:
    """What a public key is called: SHA-256 of its bytes, in hexadecimal."""
    return hashlib.sha256(public).hexdigest()


def encoded(content: bytes) -> str:
    """Base64."""
    return base64.b64encode(content).decode("ascii")


def decoded(text: Any) -> bytes:
    """Base64 in its one form; ValueError for anything else."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError) as cause:
        raise ValueError("not base64") from cause
    if encoded(content) != text:
        raise ValueError("base64 in another form")
    return content
