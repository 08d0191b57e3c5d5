"""What this relay has to do, kept on its disk: a relay that starts while the hub is away reads what it read before."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from shared.errors import InvalidInput, PayloadTooLarge, Unavailable
from shared.relay.messages import Assignments, unpack

__all__ = ["KeptAssignments"]

log = logging.getLogger("ovenbridge.relay")


class KeptAssignments:
    """One file, replaced as a whole or not at all."""

    def __init__(self, path: Path, relay_id: str) -> None:
        self._path = path
        self._relay_id = relay_id

    async def load(self) -> Assignments | None:
        """What was kept last; ``None``: nothing, or nothing that this relay can use (said in the log)."""
        return await asyncio.to_thread(self._load)

    async def keep(self, assignments: Assignments) -> None:
        """Keep them; when this returns they are on disk.

        Raises:
            Unavailable: they could not be written; the ones before are still there.
        """
        await asyncio.to_thread(self._keep, assignments)

    def _load(self) -> Assignments | None:
        try:
            found = unpack(Assignments, self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, InvalidInput, PayloadTooLarge) as error:
            log.error("The assignments kept in %s cannot be used and are fetched anew: %s", self._path.name, error)
            return None
        if found.relay_id != self._relay_id:
            log.warning("The assignments kept here are of relay %s; this one is %s.", found.relay_id, self._relay_id)
            return None
        return found

    def _keep(self, assignments: Assignments) -> None:
        data = assignments.model_dump_json().encode()
        new = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the new name is on disk, too
            finally:
                os.close(folder)
        except OSError as err:
            raise Unavailable(f"The assignments cannot be kept on this disk ({err.strerror}).") from err
