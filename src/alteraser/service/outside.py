"""What the one who runs the service says about the outside: who may be called, and who we are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alteraser.errors import InvalidInput
from alteraser.service.opendsr import FORM, Processor
from alteraser.service.outbound import Hosts
from alteraser.service.relay import Relay
from alteraser.service.state import State


@dataclass(frozen=True)
class Outside:
    """Hosts that may be called back, and our part in OpenDSR, if we have one."""

    hosts: Hosts = field(default_factory=Hosts)
    processor: Processor | None = None

    @classmethod
    def of(
        cls,
        hosts: Sequence[str],
        domain: str | None,
        certificate: Path | None,
        key: Path | None,
    ) -> Outside:
        """From options; InvalidInput where they are wrong, or part of them is missing."""
        given = (domain, certificate, key)
        if any(given) and not all(given):
            raise InvalidInput(
                "--opendsr-domain, --opendsr-certificate and --opendsr-key go together"
            )
        processor = None
        if domain is not None and certificate is not None and key is not None:
            processor = Processor(domain, certificate, key)
        return cls(Hosts(hosts), processor)

    def relay(self, state: State, stop: threading.Event | None = None) -> Relay:
        """Who makes the calls for ``state``, until ``stop`` is set."""
        writers = {} if self.processor is None else {FORM: self.processor.write}
        return Relay(state, self.hosts, writers, stop)
