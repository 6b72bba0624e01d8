"""An authority of certificates for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


class Authority:
    """Issues certificates; its own is in ``certificate``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = folder / "authority.pem"
        self.key = folder / "authority.key"
        self.key.write_bytes(written(self._key))
        self._name = named("Authority of tests")
        made = self._begun(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def _begun(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        mine = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(mine), False
            )
        )

    def issue(self, domain: str, kind: str = "ec") -> tuple[Path, Path]:
        """A certificate of ``domain`` and its key, as files."""
        if kind == "ec":
            key: Any = ec.generate_private_key(ec.SECP256R1())
        else:
            key = rsa.generate_private_key(65537, 2048)
        names = x509.SubjectAlternativeName([x509.DNSName(domain)])
        made = self._begun(named(domain), key).add_extension(names, False)
        paths = self.folder / f"{domain}-{kind}.pem", self.folder / f"{domain}-{kind}.key"
        paths[0].write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(PEM))
        paths[1].write_bytes(written(key))
        return paths


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def written(key: Any) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    found: bytes = key.private_bytes(PEM, form, serialization.NoEncryption())
    return found
