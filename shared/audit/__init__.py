"""The audit log: who changed what, in a chain that shows tampering."""

from shared.audit.browse import AuditFilter
from shared.audit.chain import Break, Verification
from shared.audit.log import AuditEntry, AuditLog, AuditPage

__all__ = ["AuditEntry", "AuditFilter", "AuditLog", "AuditPage", "Break", "Verification"]
