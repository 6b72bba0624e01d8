"""What reading says of a table beside its rows: keys of the metadata of its Arrow schema."""

UNRATED = b"alteraser.unrated"
"""In the metadata of a table that was read: how many rows had nothing to hold against the
threshold."""

CONVERTED = b"alteraser.converted"
"""The same: as JSON, what the ids of a side were stored as, where that is neither integers nor
text."""

GROUPED = b"alteraser.grouped"
"""The same: as JSON, the ``Grouping`` of a table whose rows are events in sessions or baskets."""
