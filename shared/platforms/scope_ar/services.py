"""What this room has to offer; made when it is first needed.

``sessions.fetch_session(connection_id, external_id)`` asks, ``sessions.upsert_session(connection_id, node, ...)``
records, ``graphql.pages(connection, query, variables, path)`` walks through lists. Who follows every revision of the
records is plugged in at ``Platforms.on_session``.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.platforms.scope_ar.connection import ScopeAr
    from shared.platforms.scope_ar.graphql import GraphQl
    from shared.platforms.scope_ar.hook_kind import ScopeArKind
    from shared.platforms.scope_ar.importing import SessionImport
    from shared.platforms.scope_ar.links import DeeplinkBuilder
    from shared.platforms.scope_ar.sessions import ScopeSessions
    from shared.services import Services

__all__ = ["ScopeArRoom"]


class ScopeArRoom:
    """Plugged together."""

    def __init__(self, house: Services) -> None:
        self._house = house

    @cached_property
    def graphql(self) -> GraphQl:
        """Asks the API."""
        from shared.platforms.scope_ar.graphql import GraphQl

        return GraphQl(self._house.http, self._house.platforms.connections, self._house.clock)

    @cached_property
    def platform(self) -> ScopeAr:
        """What a connection needs."""
        from shared.platforms.scope_ar.connection import ScopeAr

        return ScopeAr(self._house.targets, self.graphql)

    @cached_property
    def sessions(self) -> ScopeSessions:
        """From the API into our records."""
        from shared.platforms.scope_ar.sessions import ScopeSessions

        work = self._house.work
        return ScopeSessions(self.graphql, self._house.platforms.connections, work.sessions, work.captures)

    @cached_property
    def kind(self) -> ScopeArKind:
        """What comes in."""
        from shared.platforms.scope_ar.hook_kind import ScopeArKind

        return ScopeArKind(lambda: self.sessions)

    @cached_property
    def links(self) -> DeeplinkBuilder:
        """Links that open the app."""
        from shared.platforms.scope_ar.links import DeeplinkBuilder

        house = self._house
        return DeeplinkBuilder(house.store, house.platforms.connections, house.audit, house.clock)

    @cached_property
    def importing(self) -> SessionImport:
        """Finds what no webhook brought."""
        from shared.platforms.scope_ar.importing import SessionImport

        house = self._house
        return SessionImport(house.store, house.platforms.connections, self.sessions, house.work.sessions, house.clock)
