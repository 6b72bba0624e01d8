"""Experiments that compare ways to forget; ``alteraser bench`` runs them."""
