"""What the Functions host, its worker and Microsoft's SDKs read beside the settings of the app itself.

The app never reads these; an operator sets them, or the platform does. They stand here so that ``docs/settings.md`` can
explain them and a test can hold the templates against them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FORBIDDEN_ON_FLEX", "HOST_SETTINGS", "HostSetting"]


@dataclass(frozen=True, slots=True)
class HostSetting:
    """One name that somebody else reads."""

    name: str
    reader: str
    """Who reads it."""
    what: str
    """What it does, its default, its danger."""
    needed_in_azure: bool = False
    """The app does not work in Azure without it."""


_HOST, _WORKER, _IDENTITY, _PLATFORM = "Functions host", "Python worker", "azure-identity", "App Service"
_TELEMETRY = "azure-monitor-opentelemetry"

HOST_SETTINGS = (
    HostSetting(
        "AzureWebJobsStorage",
        _HOST,
        "Timer leases and function keys, as a connection string. Only for emulators: in Azure the three below.",
    ),
    HostSetting(
        "AzureWebJobsStorage__accountName", _HOST, "The storage account for them, by identity.", needed_in_azure=True
    ),
    HostSetting("AzureWebJobsStorage__credential", _HOST, "`managedidentity`.", needed_in_azure=True),
    HostSetting(
        "AzureWebJobsStorage__clientId",
        _HOST,
        "Client id of the app's user-assigned identity. Danger: without it the host tries another identity and starts "
        "with Unauthorized.",
        needed_in_azure=True,
    ),
    HostSetting(
        "AzureWebJobsDisableHomepage",
        _HOST,
        "`true`: `/` is ours. Default: the platform's own page is shown there.",
        needed_in_azure=True,
    ),
    HostSetting(
        "AzureWebJobsSecretStorageType",
        _HOST,
        "`files`: function keys in files instead of in the storage account. For the relay's image.",
    ),
    HostSetting(
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "Functions host, Python worker",
        "Where telemetry is sent. Default: nowhere. No secret, because local authentication is off.",
        needed_in_azure=True,
    ),
    HostSetting(
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
        "Functions host, Python worker",
        "`ClientId=<client id>;Authorization=AAD`: as whom. Danger: without it nothing is taken.",
        needed_in_azure=True,
    ),
    HostSetting(
        "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY",
        _WORKER,
        "`true`: the worker sends traces and metrics by OpenTelemetry, as host.json says. Default: `false`.",
        needed_in_azure=True,
    ),
    HostSetting(
        "OTEL_TRACES_SAMPLER",
        _TELEMETRY,
        "Which traces are kept. Default: `microsoft.rate_limited`, five a second and process; measures count all.",
    ),
    HostSetting("OTEL_TRACES_SAMPLER_ARG", _TELEMETRY, "How many, e.g. `20` a second. Danger: each is paid for."),
    HostSetting("OTEL_SERVICE_NAME", _TELEMETRY, "The name of a relay in traces. In Azure the app's own."),
    HostSetting(
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        _WORKER,
        "Libraries whose calls the worker does not trace. Danger: without it full addresses of ovens and subscribers "
        "go to telemetry, and a span per poll costs.",
        needed_in_azure=True,
    ),
    HostSetting(
        "AzureFunctionsJobHost__extensions__serviceBus__transportType",
        _HOST,
        "`amqpWebSockets`: triggers reach Service Bus through port 443. For relays. Default: AMQP, port 5671.",
    ),
    HostSetting(
        "FUNCTIONS_WORKER_RUNTIME",
        _HOST,
        "`python`. On one's own machine and in the relay's image. Danger: Flex Consumption has it in functionAppConfig "
        "and wants no such setting.",
    ),
    HostSetting(
        "PYTHON_SCRIPT_FILE_NAME",
        _WORKER,
        "`relay_app.py` on a relay. Default: `function_app.py`. Root of the app only.",
    ),
    HostSetting(
        "AZURE_TENANT_ID", _IDENTITY, "Tenant of the relay's Entra registration. In Azure the identity knows its own."
    ),
    HostSetting(
        "AZURE_CLIENT_CERTIFICATE_PATH", _IDENTITY, "The relay's certificate with its key, PEM, readable by it alone."
    ),
    HostSetting(
        "OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID",
        _PLATFORM,
        "Client id of the identity that stands for the app registration at sign-in, in place of a client secret. With "
        "`entraClientId` only.",
    ),
    HostSetting(
        "WEBSITE_AUTH_AAD_ALLOWED_TENANTS", _PLATFORM, "Tenants whose people may sign in. With `entraClientId` only."
    ),
)

FORBIDDEN_ON_FLEX = (
    "AzureWebJobsDashboard",
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "TZ",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTOVERVNET",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_DNS_SERVER",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
    "WEBSITE_NODE_DEFAULT_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_SKIP_CONTENTSHARE_VALIDATION",
    "WEBSITE_TIME_ZONE",
    "WEBSITE_VNET_ROUTE_ALL",
)
"""Flex Consumption ignores these, or does not start with them: the runtime stands in ``functionAppConfig``."""
