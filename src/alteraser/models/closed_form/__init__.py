"""Models that are counts or closed forms of their data, and forget to the last digit."""
