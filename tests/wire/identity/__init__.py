"""Where an app gets its tokens: the platform's endpoint for managed identities, and Entra for certificates."""

from tests.wire.identity.entra import EntraServer
from tests.wire.identity.managed import ManagedIdentityServer, TokenFault

__all__ = ["EntraServer", "ManagedIdentityServer", "TokenFault"]
