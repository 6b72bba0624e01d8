"""What was asked, when, and what came of it: a ledger that loses nothing, and the receipts that
follow from it.

``states`` says what may happen to a request; ``ledger`` keeps it in a database, in whose
transactions everything that the service promises is made true; ``receipts`` writes and checks what
a requester is given.
"""
