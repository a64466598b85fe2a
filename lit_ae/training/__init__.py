"""Training runs: the Lightning command line and its loop."""
