"""Forgetting in neural recommenders, measured: AltEraser, warm start and retraining side by
side.
"""
