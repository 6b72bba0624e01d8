"""Interactions and ids: read once, converted once; what is taken out of them, and what is left;
whole files or none.
"""
