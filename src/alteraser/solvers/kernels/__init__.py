"""Compiled loops over interactions and rows, each beside its readable NumPy twin (``twins``,
``term_twins``).
"""
