"""What may be said of a result, recomputed by arithmetic that shares none of the code that made
it.
"""
