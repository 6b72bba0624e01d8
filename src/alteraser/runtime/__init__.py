"""The machine: compilation, sharing rows out among workers, optional dependencies."""
