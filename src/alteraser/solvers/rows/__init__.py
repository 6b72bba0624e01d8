"""What updates rows with the other side fixed: one file per row solver; what one is, in
``protocol``.
"""
