"""Item-based neighborhoods: which items the same people had, as similarities of the columns of the
data.
"""
