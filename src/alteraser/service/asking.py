"""What routes and pages ask of the service's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sqlalchemy import Connection

from alteraser.ledger.keys import Key
from alteraser.service.outbound import Hosts
from alteraser.service.serving import Serving
from alteraser.service.state import State


class KeyedApi(Protocol):
    """A state that is read and written for whoever has a key."""

    state: State

    def read(self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]) -> Any:
        """``work`` in a snapshot, for a key with ``scope``."""
        ...

    def write(self, given: str | None, scope: str, work: Callable[[Connection, Key], Any]) -> Any:
        """``work`` in a transaction, for a key with ``scope``."""
        ...


class OutboundApi(KeyedApi, Protocol):
    """The same, with the hosts that may be called back, and the version that is served."""

    hosts: Hosts
    serving: Serving
