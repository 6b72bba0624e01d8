"""Compiled pieces of dense algebra: vector instructions, factorizations, sums in a given order."""
