"""SciPy's compressed matrices as pickles hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from alteraser.adapters._pickle import Call
from alteraser.adapters._pickled import array, put_array
from alteraser.errors import IntegrityError

FORMS = {
    (f"scipy.sparse.{prefix}{form}", f"{form}_matrix")
    for prefix in ("", "_")
    for form in ("csr", "csc", "lil")
}
"""Their names, of SciPy's modules before 1.8 and since"""


def compressed(value: Any, form: str, what: str, path: Path) -> Any:
    """The ``csr`` or ``csc`` matrix that a call stands for, float64, sorted, its own memory.

    Raises IntegrityError, naming ``what``, for one that is damaged or holds NaN.
    """
    from scipy import sparse

    attributes = value.attributes if isinstance(value, Call) else {}
    try:
        data, indices, indptr = (array(attributes[name], name) for name in PARTS)
        found = getattr(sparse, f"{form}_array")(
            (data.astype(np.float64), indices.copy(), indptr.copy()), shape=attributes["_shape"]
        )
        found.check_format(full_check=True)
        if not np.all(np.isfinite(found.data)):
            raise ValueError("NaN or infinite entries")
    except (KeyError, ValueError, TypeError) as cause:
        raise IntegrityError(
            f"{path}: {what} is no sparse matrix ({cause}); it is damaged", path=str(path)
        ) from cause
    found.sort_indices()
    return found


def put_compressed(value: Call, data: Any, indices: Any, indptr: Any) -> None:
    """Make the matrix hold these, sorted within its rows (or columns); its shape stays."""
    for name, new in zip(PARTS, (data, indices, indptr), strict=True):
        put_array(value.attributes[name], new)
    for name in ("_has_canonical_format", "_has_sorted_indices"):
        if name in value.attributes:
            value.attributes[name] = True


PARTS = ("data", "indices", "indptr")
