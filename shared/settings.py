"""All settings, typed, with their default, unit and danger. The name of a field in upper case is the variable.

``local.settings.sample.json`` and ``docs/settings.md`` are checked against this model by a test.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from shared.azure_connections import AzureConnections
from shared.errors import BrokenSettings, Unavailable

__all__ = ["Settings"]


class Settings(BaseModel):
    """What a deployment can choose. Read once per process with :meth:`from_environment`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    data_dir: Path = Field(Path("data"), description="Folder of the embedded store, queues and vault.")
    public_url: str = Field(
        "",
        description="How callers reach us, e.g. https://ovenbridge.example.com. Goes into links and Location headers. "
        "Empty: WEBSITE_HOSTNAME in Azure, else http://127.0.0.1:7071.",
    )
    access_mode: Literal["tokens", "developer"] = Field(
        "tokens",
        description="developer: every caller is an administrator. Danger: only ever on a loopback address.",
    )
    access_token_seconds: int = Field(
        3_600,
        ge=60,
        le=86_400,
        description="How long an access token is good that a client fetches with its client credentials, in seconds.",
    )
    allow_secret_in_url: bool = Field(
        False,
        description="May a client that fetches an access token send its secret in the URL, as some do that know no "
        "other way? Danger: proxies and the platform's own request logs write URLs down.",
    )
    allow_private_targets: bool = Field(
        False,
        description="May ovens and callbacks have private addresses? On under `python -m local`, because plants are "
        "private. Danger in Azure: callers could reach into the virtual network.",
    )
    allow_http_targets: bool = Field(
        False, description="May targets use http:// instead of https://? On under `python -m local`."
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, le=104_857_600, description="Largest request body, in bytes.")
    delivery_timeout_seconds: float = Field(
        10.0, gt=0, le=45, description="How long a subscriber may take to answer. Below the queue's lock of 60 s."
    )
    delivery_retry_seconds: float = Field(
        10.0, gt=0, le=3600, description="Pause between retries of a notification (FORCE Bridge: 10 s)."
    )
    poll_deadline_seconds: float = Field(
        20.0, gt=0, le=60, description="Hard deadline for reading one device, whatever its own timeout says."
    )
    readings_retention_days: int = Field(90, ge=1, le=3650, description="How long single readings are kept, in days.")
    batches_retention_days: int = Field(
        730, ge=1, le=36_500, description="How long batch records are kept after their last change, in days."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is logged.")
    website_hostname: str = Field("", description="Set by Azure: the host name of the app.")
    website_auth_enabled: bool = Field(
        False,
        description="Set by Azure where App Service authentication is on: only then the signed-in user it names is "
        "believed. Danger: never set it by hand.",
    )
    entra_tenant_id: str = Field(
        "",
        pattern=r"^([0-9a-f-]{36})?$",
        description="Only accounts of this Entra tenant may sign in; empty: any that App Service lets in.",
    )
    serves_loopback: bool = Field(
        False, description="Set by `python -m local` when it is bound to a loopback address; never set it by hand."
    )

    hub_url: str = Field(
        "",
        description="On a relay: where its hub is, e.g. https://ovenbridge.example.com. It may be a private address. "
        "Danger with http://: readings and RELAY_TOKEN travel in the clear.",
    )
    relay_id: str = Field(
        "", pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$", description="On a relay: its id, as registered at the hub."
    )
    relay_token: str = Field(
        "",
        repr=False,
        description="On a relay: its token, which the hub showed when the relay was registered. Danger: a secret; "
        "whoever has it can send readings in the name of this relay.",
    )
    relay_cors_origins: str = Field(
        "",
        description="On a relay: origins whose web pages may ask /local/requests, e.g. "
        "https://bakery.operations1.app, separated by commas. Never `*`.",
    )
    spool_max_mb: int = Field(
        1024,
        ge=1,
        le=1_000_000,
        description="On a relay: readings that wait for the hub may take so many megabytes of its disk. Beyond it the "
        "oldest history is dropped and counted, alarms never.",
    )
    spool_max_days: int = Field(
        30, ge=1, le=3650, description="On a relay: readings that wait for the hub are dropped after so long, in days."
    )

    tls_certificate_file: str = Field(
        "",
        description="`python -m local` speaks HTTPS with the certificate (and its chain) of this PEM file; a newer "
        "file is used without a restart. Empty: HTTP. A relay warns before it ends.",
    )
    tls_key_file: str = Field(
        "",
        description="PEM file with the key of TLS_CERTIFICATE_FILE, without a password. Empty: it is in the same file.",
    )

    cosmos_database: str = Field(
        "ovenbridge", pattern=r"^[A-Za-z0-9_-]{1,255}$", description="Name of the database in the Cosmos DB account."
    )
    service_bus_transport: Literal["amqp", "websockets"] = Field(
        "amqp",
        description="How Service Bus is reached: amqp (port 5671), or websockets (port 443) where a plant's firewall "
        "lets nothing else out.",
    )
    azure: AzureConnections = Field(
        AzureConnections(), description="The Azure services that are used in place of the embedded ones.", exclude=True
    )

    _problem: str = PrivateAttr("")

    @field_validator("public_url")
    @classmethod
    def _plain_origin(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("write a full address such as https://ovenbridge.example.com")
        return value.rstrip("/")

    @field_validator("hub_url")
    @classmethod
    def _hub(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", value):
            raise ValueError("write the hub's address such as https://ovenbridge.example.com, without user or query")
        return value.rstrip("/")

    @field_validator("relay_cors_origins")
    @classmethod
    def _exact_origins(cls, value: str) -> str:
        origins = [part.strip() for part in value.split(",") if part.strip()]
        for origin in origins:
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?", origin):
                raise ValueError(
                    "write exact origins such as https://bakery.example.com, in lower case, no path, no `*`"
                )
        return ",".join(origins)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables (Functions app settings arrive as such).

        Raises:
            BrokenSettings: a value cannot be used; the sentence names the variable and what to write.
        """
        source = os.environ if environment is None else environment
        given = {name: source[name.upper()] for name in cls.model_fields if source.get(name.upper(), "") != ""}
        try:
            settings = cls.model_validate({**given, "azure": AzureConnections.from_environment(source)})
        except ValidationError as err:
            first = err.errors(include_url=False, include_input=False)[0]
            name = str(first["loc"][0]).upper() if first["loc"] else "?"
            raise BrokenSettings(f"{name} is not usable: {first['msg']}.") from err
        settings.refuse_dangerous_combinations()
        return settings

    @classmethod
    def as_far_as_usable(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """As :meth:`from_environment`, but it never raises: under the Functions host an app that does not come up
        cannot say why. With a value that cannot be used everything has its safe default, no backend can be reached, and
        ``problem`` names the setting.
        """
        try:
            return cls.from_environment(environment)
        except BrokenSettings as error:
            settings = cls(azure=AzureConnections.unusable(error.detail))
            settings._problem = error.detail
            return settings

    @property
    def problem(self) -> str:
        """Which setting cannot be used, and what to write. Empty: none."""
        return self._problem

    def require(self) -> None:
        """Raises ``Unavailable`` when a setting cannot be used."""
        if self._problem:
            raise Unavailable(self._problem, retry_after=30.0, advice=self._problem)

    async def check(self) -> None:
        """:meth:`require`, for the readiness probe."""
        self.require()

    def refuse_dangerous_combinations(self) -> None:
        """Name combinations that would open the house.

        Raises:
            BrokenSettings: developer access on an address that others can reach.
        """
        if self.access_mode == "developer" and not self.serves_loopback:
            raise BrokenSettings(
                "ACCESS_MODE=developer makes every caller an administrator and is only allowed under "
                "`python -m local` on a loopback address. Set ACCESS_MODE=tokens."
            )

    @property
    def base_url(self) -> str:
        """How callers reach us, without a slash at the end."""
        if self.public_url:
            return self.public_url
        return f"https://{self.website_hostname}" if self.website_hostname else "http://127.0.0.1:7071"
