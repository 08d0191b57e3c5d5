"""Telemetry: readings with their quality, history, buckets, hourly rollups, retention."""
