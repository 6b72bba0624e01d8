"""Networks that say what comes next in a sequence, trained so that training again gives the same
bytes.

Nothing here imports torch before a model is trained or asked for lists.
"""
