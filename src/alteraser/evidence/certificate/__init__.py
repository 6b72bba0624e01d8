"""How far a model is from an optimum for the data that remain: measured or proved, independently of
who made it.

``certify`` takes factors, an objective and the remaining data and says a class:

A  replayed       training on the remaining data alone gives the same bytes (``replay``) B
certified      a stationary point within ρ, by the Newton–Kantorovich theorem with a proved
curvature C  measured       the same numbers, the curvature estimated D  not forgotten  anything
else
"""

from alteraser.evidence.certificate.certificate import Certificate, Check, certify
from alteraser.evidence.certificate.words import NAMES
from alteraser.solvers.limits import Limits

__all__ = ["NAMES", "Certificate", "Check", "Limits", "certify"]
