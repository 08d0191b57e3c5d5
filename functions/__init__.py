"""Triggers only: parse, one call into ``shared``, respond. One blueprint module per surface."""
