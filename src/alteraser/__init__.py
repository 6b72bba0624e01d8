"""AltEraser: make a trained recommender forget, and measure that it did.

>>> import alteraser as ae
>>> data = ae.Interactions.from_pairs([(u, v) for u in range(6) for v in range(u % 3, 6, 3)])
>>> model = ae.ENMF(factors=2, regularization=0.1, missing_weight=0.1).fit(data)
>>> erasure = ae.forget(model, [(0, 0)], data=data)
>>> len(erasure.removed)
1
"""

from __future__ import annotations

import importlib

from alteraser.runtime.version import VERSION as __version__

TYPE_CHECKING = False  # as in typing, which takes longer to import than all of this
if TYPE_CHECKING:
    from typing import Any

_EXPORTS = {
    "Age": "alteraser.data.selection",
    "AltEraser": "alteraser.erasers",
    "AltEraserError": "alteraser.errors",
    "Cooccurrence": "alteraser.models.neighbors.cooccurrence",
    "EASE": "alteraser.models.ease.ease",
    "ENMF": "alteraser.verbs.train",
    "Erasure": "alteraser.verbs.erasure",
    "GRU4Rec": "alteraser.models.networks.gru4rec",
    "ItemKNN": "alteraser.models.neighbors.item_knn",
    "Interactions": "alteraser.data.interactions",
    "Model": "alteraser.models.factorization.model",
    "NCF": "alteraser.models.networks.ncf",
    "Objective": "alteraser.models",
    "Popularity": "alteraser.models.closed_form.popularity",
    "ReadingOptions": "alteraser.data.readers",
    "Retrain": "alteraser.erasers",
    "Selection": "alteraser.data.selection",
    "UserKNN": "alteraser.models.neighbors.user_knn",
    "SASRec": "alteraser.models.networks.sasrec",
    "SLIST": "alteraser.models.sessions.slist",
    "TIFUKNN": "alteraser.models.sessions.tifu_knn",
    "TopFrequency": "alteraser.models.sessions.top_frequency",
    "VSKNN": "alteraser.models.sessions.vs_knn",
    "Window": "alteraser.data.selection",
    "evaluate": "alteraser.verbs.evaluate",
    "compare": "alteraser.verbs.evaluate",
    "forget": "alteraser.verbs.forget",
    "generate_household": "alteraser.data.sets",
    "load": "alteraser.models.loading",
    "metrics": "",
    "verify": "alteraser.verbs.verify",
}

__all__ = ["__version__", *sorted(_EXPORTS)]

if TYPE_CHECKING:
    from alteraser import metrics as metrics
    from alteraser.data.interactions import Interactions as Interactions
    from alteraser.data.readers import ReadingOptions as ReadingOptions
    from alteraser.data.selection import Age as Age
    from alteraser.data.selection import Selection as Selection
    from alteraser.data.selection import Window as Window
    from alteraser.data.sets import generate_household as generate_household
    from alteraser.erasers import AltEraser as AltEraser
    from alteraser.erasers import Retrain as Retrain
    from alteraser.errors import AltEraserError as AltEraserError
    from alteraser.models import Objective as Objective
    from alteraser.models.closed_form.popularity import Popularity as Popularity
    from alteraser.models.ease.ease import EASE as EASE
    from alteraser.models.factorization.model import Model as Model
    from alteraser.models.loading import load as load
    from alteraser.models.neighbors.cooccurrence import Cooccurrence as Cooccurrence
    from alteraser.models.neighbors.item_knn import ItemKNN as ItemKNN
    from alteraser.models.neighbors.user_knn import UserKNN as UserKNN
    from alteraser.models.networks.gru4rec import GRU4Rec as GRU4Rec
    from alteraser.models.networks.ncf import NCF as NCF
    from alteraser.models.networks.sasrec import SASRec as SASRec
    from alteraser.models.sessions.slist import SLIST as SLIST
    from alteraser.models.sessions.tifu_knn import TIFUKNN as TIFUKNN
    from alteraser.models.sessions.top_frequency import TopFrequency as TopFrequency
    from alteraser.models.sessions.vs_knn import VSKNN as VSKNN
    from alteraser.verbs.erasure import Erasure as Erasure
    from alteraser.verbs.evaluate import compare as compare
    from alteraser.verbs.evaluate import evaluate as evaluate
    from alteraser.verbs.forget import forget as forget
    from alteraser.verbs.train import ENMF as ENMF
    from alteraser.verbs.verify import verify as verify


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that ``import alteraser`` costs nothing."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'alteraser' has no attribute {name!r}")
    module = importlib.import_module(_EXPORTS[name] or f"alteraser.{name}")
    value = module if not _EXPORTS[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
