"""Key Vault, as far as secrets go, with the errors it gives and the faults a network adds."""

from tests.wire.key_vault.server import AUDIENCE, Fault, FixedToken, KeyVaultServer

__all__ = ["AUDIENCE", "Fault", "FixedToken", "KeyVaultServer"]
