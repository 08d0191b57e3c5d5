"""The audit log: who changed what, in a chain that shows tampering."""

from shared.audit.chain import Break, Verification
from shared.audit.log import AuditEntry, AuditLog

__all__ = ["AuditEntry", "AuditLog", "Break", "Verification"]
