"""Linear recommenders with a closed form: scores are the history times a matrix of item weights."""
