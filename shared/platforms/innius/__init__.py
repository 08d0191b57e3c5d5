"""innius: its webhooks taken in, and webhooks like its own given out."""
