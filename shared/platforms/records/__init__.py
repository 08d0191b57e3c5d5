"""Systems of record: where a session or a call is attached to its work order, once in effect."""
