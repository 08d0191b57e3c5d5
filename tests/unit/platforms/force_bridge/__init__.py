"""FORCE Bridge as a client, and what it tells us."""
