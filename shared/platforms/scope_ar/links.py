"""Links with what is kept of them: the templates that were pasted, and the keys that a connection reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.clock import Clock, iso
from shared.errors import InvalidInput, NotFound
from shared.platforms.scope_ar.deeplinks import Deeplink, DeeplinkTemplates, WantedDeeplink, build
from shared.platforms.scope_ar.options import ConnectionOptions, References, checked

if TYPE_CHECKING:
    from shared.access import Caller
    from shared.audit.log import AuditLog
    from shared.platforms.connections import PlatformConnections
    from shared.storage import DocumentStore

__all__ = ["DeeplinkBuilder"]

CONTAINER, NAME = "workMarks", "deeplink-templates"


class DeeplinkBuilder:
    """Builds links."""

    def __init__(self, store: DocumentStore, connections: PlatformConnections, audit: AuditLog, clock: Clock) -> None:
        self._store = store
        self._connections = connections
        self._audit = audit
        self._clock = clock

    async def build(self, wanted: WantedDeeplink) -> Deeplink:
        """See :func:`shared.platforms.scope_ar.deeplinks.build`."""
        references = References()
        if wanted.connection is not None:
            try:
                connection = await self._connections.known(wanted.connection)
            except NotFound as err:
                raise InvalidInput(err.detail, field="connection") from err
            if connection.platform != "scope_ar":
                raise InvalidInput(f"{connection.id} is a connection to {connection.platform}.", field="connection")
            references = checked(ConnectionOptions, connection.options).references
        templates = DeeplinkTemplates() if wanted.kind is None else await self.templates()
        return build(wanted, references=references, templates=templates, requested_at=iso(self._clock.now()))

    async def templates(self) -> DeeplinkTemplates:
        """Those that are kept."""
        try:
            document = (await self._store.read(CONTAINER, (NAME,), NAME)).document
        except NotFound:
            return DeeplinkTemplates()
        return DeeplinkTemplates.model_validate(document["templates"])

    async def keep(self, templates: DeeplinkTemplates, *, caller: Caller) -> DeeplinkTemplates:
        """Keep these in place of those before."""
        before = await self.templates()
        async with self._audit.recorded(
            "deeplinks",
            actor=caller.actor,
            action="deeplinks.templates_changed",
            target=NAME,
            before=before.model_dump(),
            after=templates.model_dump(),
        ):
            document = {"id": NAME, "templates": templates.model_dump(), "changedAt": iso(self._clock.now())}
            await self._store.upsert(CONTAINER, document)
        return templates
