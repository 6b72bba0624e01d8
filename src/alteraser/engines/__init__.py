"""What keeps a model at work: requests one after another in a warm process."""
