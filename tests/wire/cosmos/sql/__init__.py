"""The query language: read, checked against the index, evaluated."""
