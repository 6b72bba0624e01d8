"""Request after request in one process: a ``Stream`` of factors forgets at once and polishes many together, an
``ExactSession`` counts.
"""

from alteraser.engines.session.exact import Changed, ExactSession
from alteraser.engines.session.stream import Stream, Touched

__all__ = ["Changed", "ExactSession", "Stream", "Touched"]
