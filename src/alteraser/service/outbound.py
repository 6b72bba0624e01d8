"""Calls to the outside: to hosts that the one who runs the service has named, over TLS, to the
address that was looked at, without redirects, and never for longer than a few seconds.

An entry is ``NAME``, ``NAME:PORT``, and with ``=ADDRESS`` behind it where the name is not to be
looked up. A name that is looked up has to lead to public addresses alone; only an entry with an
address reaches a private one, and only a loopback address goes without TLS.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from alteraser.errors import InvalidInput

SECONDS = 10.0
"""That a call may take in all"""
LONGEST = 2000
"""Characters of an address"""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], list[str]]

TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses in which IPv4 ones are (NAT64)"""


class Unreachable(Exception):
    """The call was not made, or not answered."""


@dataclass(frozen=True)
class Host:
    """A host that may be called."""

    name: str
    port: int | None
    address: Address | None


class Hosts:
    """Those that may be called."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        found = [_entry(text) for text in entries]
        self._known = {(each.name, each.port): each for each in found}

    def checked(self, url: object) -> str:
        """``url`` if it may be called; InvalidInput ``callback_host``, which does not repeat it."""
        self._host(_parsed(url))
        return str(url)

    def _host(self, parts: SplitResult) -> Host:
        name, port = _name(parts.hostname or ""), parts.port
        usual = {"https": 443, "http": 80}[parts.scheme]
        found = self._known.get((name, port)) or (
            self._known.get((name, None)) if port in (None, usual) else None
        )
        if found is None:
            raise _refused("its host was not named with --callback-host")
        if parts.scheme == "http" and not (found.address and found.address.is_loopback):
            raise _refused("expected https://")
        return found

    def post(
        self, url: str, body: bytes, headers: dict[str, str], *, lookup: Lookup | None = None
    ) -> int:
        """Send ``body``; the status of the answer, which is not read. Unreachable, or InvalidInput
        for an address that may not be called (any more).
        """
        parts = _parsed(url)
        host = self._host(parts)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = str(host.address) if host.address else _public(host.name, port, lookup or _looked)
        context = ssl.create_default_context() if parts.scheme == "https" else None
        connection = _Pinned(host.name, port, address, context)
        timer = threading.Timer(SECONDS, connection.abort)
        timer.start()
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, {"Connection": "close", **headers})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unreachable(type(error).__name__) from error
        finally:
            timer.cancel()
            connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to an address, for a name."""

    def __init__(self, name: str, port: int, address: str, context: ssl.SSLContext | None) -> None:
        super().__init__(name, port, timeout=SECONDS)
        self._address, self._context, self._over = address, context, False
        if context is not None:
            self.default_port = 443

    def connect(self) -> None:
        """Connect to the address; the certificate has to be the name's."""
        self.sock = socket.create_connection((self._address, self.port), SECONDS)
        if self._over:
            raise TimeoutError
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)

    def abort(self) -> None:
        """End it, from another thread."""
        self._over = True
        sock = self.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _entry(text: str) -> Host:
    name, _, address = text.partition("=")
    parts = urlsplit(f"//{name}")
    try:
        found = Host(
            _name(parts.hostname or ""),
            parts.port,
            ipaddress.ip_address(address) if address else None,
        )
    except ValueError as cause:
        raise InvalidInput(f"--callback-host {text}: {cause}") from None
    if parts.path or parts.query or "@" in name or not found.name:
        raise InvalidInput(f"--callback-host {text}: expected NAME, NAME:PORT or NAME:PORT=ADDRESS")
    return found


def _parsed(url: object) -> SplitResult:
    if not isinstance(url, str) or len(url) > LONGEST:
        raise _refused("expected an address as text")
    if any(ord(each) <= 32 or ord(each) >= 127 or each == "\\" for each in url):
        raise _refused("an address has visible ASCII characters alone")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _refused("it cannot be read as an address") from None
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise _refused("expected https://")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _refused("an address here has neither a user nor a fragment")
    return parts


def _name(text: str) -> str:
    """A host's name in its one form."""
    found = text.lower()
    try:
        return found if found.isascii() else found.encode("idna").decode("ascii")
    except UnicodeError:
        raise InvalidInput("a host's name is not one", code="callback_host") from None


def _looked(name: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(type(error).__name__) from error
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _public(name: str, port: int, lookup: Lookup) -> str:
    """The address of ``name``, all of whose addresses are public; Unreachable."""
    found = lookup(name, port)
    if not found or not all(is_public(each) for each in found):
        raise Unreachable("AddressNotPublic")
    return found[0]


def is_public(text: str) -> bool:
    """Whether an address is one of the outside: not private, loopback, link-local, shared,
    multicast or reserved, and none of these within IPv6.

    >>> is_public("93.184.216.34"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
    (True, False, False)
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            address = inner
    return address.is_global and not address.is_multicast and not address.is_reserved


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"the address of a callback: {why}", code="callback_host")
