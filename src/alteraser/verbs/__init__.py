"""What can be done with a model: train, forget, verify, evaluate, compare, tune, compact. Read,
check, act, record.
"""
