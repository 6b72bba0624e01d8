"""Modules and losses of one's own, differentiated by PyTorch (``pip install "alteraser[torch]"``).

``module``: a PyTorch module that scores by two embeddings. ``own_loss``: any loss. ``tables``: what
they share. What they are differentiated with is in ``alteraser.solvers.differentiable``.
"""

from __future__ import annotations

from alteraser.solvers.differentiable import (
    Pattern,
    RowBatch,
    ScoredProblem,
    cells_of,
    combine,
    products,
)

__all__ = ["Pattern", "RowBatch", "ScoredProblem", "cells_of", "combine", "products"]
