"""What the one who runs the service says about the outside: who may be called, and who we are."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alteraser.errors import InvalidInput
from alteraser.service import drp, opendsr
from alteraser.service.drp import AgentNetwork
from alteraser.service.opendsr import Processor
from alteraser.service.outbound import Hosts
from alteraser.service.relay import Relay, Writer
from alteraser.service.state import State


@dataclass(frozen=True)
class Outside:
    """Hosts that may be called back, and our parts in OpenDSR and in the Data Rights Protocol, if
    we have them.
    """

    hosts: Hosts = field(default_factory=Hosts)
    processor: Processor | None = None
    network: AgentNetwork | None = None

    @classmethod
    def of(
        cls,
        hosts: Sequence[str],
        domain: str | None,
        certificate: Path | None,
        key: Path | None,
        *,
        business: str | None = None,
        agents: Path | None = None,
        claim: str = "email",
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
        if (business is None) != (agents is None):
            raise InvalidInput("--drp-business and --drp-agents go together")
        network = None
        if business is not None and agents is not None:
            network = AgentNetwork.read(business, agents, claim)
        return cls(Hosts(hosts), processor, network)

    def relay(self, state: State, stop: threading.Event | None = None) -> Relay:
        """Who makes the calls for ``state``, until ``stop`` is set."""
        writers: dict[str, Writer] = {}
        if self.processor is not None:
            writers[opendsr.FORM] = self.processor.write
        if self.network is not None:
            writers[drp.FORM] = drp.write
        return Relay(state, self.hosts, writers, stop)
