"""Request after request in one process: ``Stream`` forgets a request at once and polishes many together."""

from alteraser.engines.session.stream import Stream, Touched

__all__ = ["Stream", "Touched"]
