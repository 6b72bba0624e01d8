"""AltEraser: make a trained recommender forget, and measure that it did."""
