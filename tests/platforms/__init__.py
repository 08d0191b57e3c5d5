"""Servers of platforms, written by their contracts, and the whole story of each over real sockets."""
