"""Models of two sides of factors: what is minimized, on which interactions, and the parameters."""
