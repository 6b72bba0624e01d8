"""Linear models composed of what is given: features, contexts, graphs and several relations."""
