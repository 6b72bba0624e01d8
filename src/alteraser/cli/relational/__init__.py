"""Linear kinds on the command line: those of interactions alone, and the one of several sources."""
