"""Recommenders of what comes next: in a session, or in a basket. Models of events in groups, not of
pairs.
"""
