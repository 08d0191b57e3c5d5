"""Credentials: the vault port and the backends behind it. Nothing outside a vault keeps a credential."""

from shared.secrets.port import Secret, SecretMetadata, Vault

__all__ = ["Secret", "SecretMetadata", "Vault"]
