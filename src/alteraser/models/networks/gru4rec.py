"""GRU4Rec (Hidasi, Karatzoglou, Baltrunas and Tikk, "Session-based Recommendations with Recurrent
Neural Networks", ICLR 2016): one layer of gated recurrent units, whose last state says what comes
next.

As small as it may be: the table of items is read and predicted by alike, the loss is the
cross-entropy over all items, no negatives and no dropout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from alteraser.models.networks.sequence import SequenceKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    from alteraser.models.networks import encoders
else:
    encoders = late("alteraser.models.networks.encoders")


class GRU4Rec(SequenceKind):
    """``items``, and the weights and biases of three gates, as torch has them."""

    name: ClassVar[str] = "gru4rec"
    summary: ClassVar[str] = "a recurrent network over the events of a session"

    def encoder(self) -> encoders.Encoder:
        """Gated recurrent units."""
        return encoders.Gated(self.factors)
