"""Request after request in one process: a ``Stream`` of factors forgets at once and polishes many
together, an ``ExactSession`` counts, an ``EventSession`` does so with sessions and baskets.
"""

from alteraser.engines.session.events import Come, EventSession, Gone
from alteraser.engines.session.exact import Applied, ExactSession
from alteraser.engines.session.stream import Stream, Touched

__all__ = ["Applied", "Come", "EventSession", "ExactSession", "Gone", "Stream", "Touched"]
