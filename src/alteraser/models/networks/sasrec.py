"""SASRec (Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018): blocks in which
every event of a sequence looks at those before it.

As small as it may be: one head, no dropout, and the cross-entropy over all items in the place of
one negative (which is what makes SASRec good: Klenitskiy and Vasilev, RecSys 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from alteraser.models.networks.sequence import SequenceKind
from alteraser.runtime.late import late

if TYPE_CHECKING:
    from alteraser.models.networks import encoders
else:
    encoders = late("alteraser.models.networks.encoders")


class SASRec(SequenceKind):
    """``items``, ``places`` (length, d), and per block the weights of its attention and its two
    layers.
    """

    name: ClassVar[str] = "sasrec"
    summary: ClassVar[str] = "self-attention over the events of a session"

    blocks: int = Field(default=2, ge=1, le=64, description="Blocks of attention")

    def encoder(self) -> encoders.Encoder:
        """Blocks of self-attention."""
        return encoders.SelfAttention(self.factors, self.length, self.blocks)
