"""Networks whose training again gives the same bytes, so that they forget by it.

Nothing here imports torch before a model is trained or asked for lists.
"""
