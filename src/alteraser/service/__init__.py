"""The forgetting service: requests in, receipts out, nothing lost.

``state`` opens what is on disk; ``worker`` turns requests into versions and receipts; ``erasing``
is the one place where it touches the methods of forgetting; ``app`` is HTTP.
"""
