"""Blobs: the port, and the backends behind it."""

from shared.blobs.port import BlobStore, check_blob_name

__all__ = ["BlobStore", "check_blob_name"]
