"""The name under which the kernels here know ``alteraser.jit``."""

from alteraser.jit import OPTIONS, exact_order, kernel

__all__ = ["OPTIONS", "exact_order", "kernel"]
