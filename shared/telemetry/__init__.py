"""What the machines said: readings, quality, history, hourly sums, retention."""

from shared.telemetry.buckets import Bucket, SignalStats
from shared.telemetry.readings import HistoryPage, Readings

__all__ = ["Bucket", "HistoryPage", "Readings", "SignalStats"]
