"""Training, forgetting and verifying linear models that are composed of several sources."""
