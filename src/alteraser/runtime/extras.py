"""Optional dependencies: asked for by name before any work starts, so that nothing fails
halfway.
"""

from __future__ import annotations

from importlib.util import find_spec

from alteraser.errors import DependencyMissing


def require(package: str, extra: str, what: str) -> None:
    """DependencyMissing, saying how to install it, unless ``package`` can be imported; ``what``
    needs it.
    """
    if find_spec(package) is None:
        raise DependencyMissing(
            f"{what} needs {package}, which is not installed; run: pip install "
            f'"alteraser[{extra}]"',
            package=package,
            extra=extra,
        )
