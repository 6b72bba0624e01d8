"""Neural recommenders that can forget: NCF's GMF, MLP and NeuMF, LightGCN, and matrix factorization
by BPR.

Everything here imports torch (``pip install "alteraser[torch]"``); nothing outside imports this
package before it is asked for one of these models.

>>> from alteraser import Interactions, neural
>>> data = Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
>>> model = neural.fit("neumf", data, factors=2, training=neural.Training(max_epochs=3))
>>> erasure = neural.forget(model, [(0, 0)], data=data)
>>> len(erasure.remaining), [step.part for step in erasure.trace]
(11, ['user', 'item'])
"""

from __future__ import annotations

# first: it says so where torch is not installed
from alteraser.autograd.module import forget_module
from alteraser.neural.alternation import Alternating, NeuralPass, erase, residual
from alteraser.neural.files import save
from alteraser.neural.forgetting import WithLoss, forget
from alteraser.neural.loading import load
from alteraser.neural.loss import Loss, SampledLoss
from alteraser.neural.model import NeuralModel, fit
from alteraser.neural.modules import BPRMF, GMF, KINDS, MLP, LightGCN, Network, NeuMF
from alteraser.neural.training import Trained, Training, train

__all__ = [
    "BPRMF",
    "GMF",
    "KINDS",
    "MLP",
    "Alternating",
    "LightGCN",
    "Loss",
    "Network",
    "NeuMF",
    "NeuralModel",
    "NeuralPass",
    "SampledLoss",
    "Trained",
    "Training",
    "WithLoss",
    "erase",
    "fit",
    "forget",
    "forget_module",
    "load",
    "residual",
    "save",
    "train",
]
