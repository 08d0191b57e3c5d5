"""Everything that leaves the house over HTTP: which addresses may be connected to, and the one pool that does it.

``targets`` decides, ``http`` sends. Nothing else opens an outgoing HTTP connection.
"""
