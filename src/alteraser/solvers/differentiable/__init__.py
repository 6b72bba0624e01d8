"""The objectives as PyTorch differentiates them: what first-order methods, Hessian-free solvers and
modules need.

Everything here imports torch (``pip install "alteraser[torch]"``); nothing outside imports this
package before it is asked for a method that needs it.
"""

from __future__ import annotations

import warnings as _warnings

from alteraser.runtime.extras import require

require("torch", "torch", "differentiating a loss")
import torch as _torch

with _warnings.catch_warnings():
    # torch says once per process that its sparse matrices are in beta; it is said here, to nobody
    _warnings.simplefilter("ignore")
    _torch.sparse_csr_tensor(_torch.tensor([0, 1]), _torch.tensor([0]), _torch.ones(1), (1, 1))

from alteraser.solvers.differentiable.cells import ScoredProblem, cells_of
from alteraser.solvers.differentiable.rowbatch import RowBatch
from alteraser.solvers.differentiable.sparse import Pattern, combine, products

__all__ = ["Pattern", "RowBatch", "ScoredProblem", "cells_of", "combine", "products"]
