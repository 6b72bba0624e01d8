"""Ways of moving, one a file; ``solvers.loop`` runs them by a plan."""
