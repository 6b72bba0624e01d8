"""Numerical methods that know nothing of recommenders."""
