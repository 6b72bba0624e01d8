"""Neural recommenders that can forget: NCF's GMF, MLP and NeuMF, LightGCN, and matrix factorization by BPR.

Everything here imports torch (``pip install "alteraser[torch]"``).
"""

from __future__ import annotations

from alteraser.extras import require

require("torch", "torch", "a neural recommender")
