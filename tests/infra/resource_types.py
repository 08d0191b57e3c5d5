"""Which resource types the templates may use, in which API version, and which model describes them.

API versions: reference "Azure architecture", section 1.2 (as Azure Verified Modules had them on 2026-08-07), and from
2026-11-21 for what it does not list. A new type is one line here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RESOURCE_TYPES", "ResourceType", "by_name"]

_INSIGHTS = "azure-mgmt-applicationinsights==4.1.0"
_AUTHORIZATION = "azure-mgmt-authorization==4.0.0"
_CONSUMPTION = "azure-mgmt-consumption==11.0.0"
_COSMOS = "azure-mgmt-cosmosdb==10.0.0"
_VAULT = "azure-mgmt-keyvault==14.1.0"
_LOGS = "azure-mgmt-loganalytics==14.0.0"
_MONITOR = "azure-mgmt-monitor==7.0.0"
_MONITOR_OLDER = "azure-mgmt-monitor==6.0.2"
_IDENTITY = "azure-mgmt-msi==7.1.0"
_NETWORK = "azure-mgmt-network==33.1.0"
_DNS = "azure-mgmt-privatedns==2.0.0"
_BUS = "azure-mgmt-servicebus==10.0.0"
_STORAGE = "azure-mgmt-storage==25.3.0"
_WEB = "azure-mgmt-web==11.0.1"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource type in the version that we use."""

    version: str
    package: str
    model: str
    """The class of what is sent."""
    answer: str = ""
    """The class of what Azure answers, where it is another: what may be read from the resource."""
    folder: str = ""
    """The API version inside the package, where it has several."""

    @property
    def read_model(self) -> str:
        """The class for reading."""
        return self.answer or self.model


_SQL = "Microsoft.DocumentDB/databaseAccounts"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices"

RESOURCE_TYPES: dict[str, ResourceType] = {
    "Microsoft.Authorization/roleAssignments": ResourceType(
        "2022-04-01", _AUTHORIZATION, "RoleAssignmentCreateParameters", "RoleAssignment", "v2022_04_01"
    ),
    "Microsoft.Authorization/roleDefinitions": ResourceType(
        "2022-04-01", _AUTHORIZATION, "RoleDefinition", folder="v2022_04_01"
    ),
    "Microsoft.Consumption/budgets": ResourceType("2023-11-01", _CONSUMPTION, "Budget"),
    _SQL: ResourceType("2025-04-15", _COSMOS, "DatabaseAccountCreateUpdateParameters", "DatabaseAccountGetResults"),
    f"{_SQL}/sqlDatabases": ResourceType(
        "2025-04-15", _COSMOS, "SqlDatabaseCreateUpdateParameters", "SqlDatabaseGetResults"
    ),
    f"{_SQL}/sqlDatabases/containers": ResourceType(
        "2025-04-15", _COSMOS, "SqlContainerCreateUpdateParameters", "SqlContainerGetResults"
    ),
    f"{_SQL}/sqlRoleAssignments": ResourceType(
        "2024-11-15", _COSMOS, "SqlRoleAssignmentCreateUpdateParameters", "SqlRoleAssignmentGetResults"
    ),
    f"{_SQL}/sqlRoleDefinitions": ResourceType(
        "2024-11-15", _COSMOS, "SqlRoleDefinitionCreateUpdateParameters", "SqlRoleDefinitionGetResults"
    ),
    "Microsoft.Insights/actionGroups": ResourceType("2024-10-01-preview", _MONITOR, "ActionGroupResource"),
    "Microsoft.Insights/components": ResourceType(
        "2020-02-02", _INSIGHTS, "ApplicationInsightsComponent", folder="v2020_02_02"
    ),
    "Microsoft.Insights/diagnosticSettings": ResourceType(
        "2021-05-01-preview", _MONITOR_OLDER, "DiagnosticSettingsResource", folder="v2021_05_01_preview"
    ),
    "Microsoft.Insights/metricAlerts": ResourceType("2018-03-01", _MONITOR, "MetricAlertResource"),
    "Microsoft.Insights/scheduledQueryRules": ResourceType(
        "2025-01-01-preview", _MONITOR, "ScheduledQueryRuleResource"
    ),
    "Microsoft.Insights/workbooks": ResourceType("2023-06-01", _INSIGHTS, "Workbook", folder="v2023_06_01"),
    "Microsoft.KeyVault/vaults": ResourceType("2024-11-01", _VAULT, "VaultCreateOrUpdateParameters", "Vault"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ResourceType(
        "2024-11-30", _IDENTITY, "Identity", folder="v2024_11_30"
    ),
    "Microsoft.Network/natGateways": ResourceType("2025-05-01", _NETWORK, "NatGateway"),
    "Microsoft.Network/networkSecurityGroups": ResourceType("2025-05-01", _NETWORK, "NetworkSecurityGroup"),
    "Microsoft.Network/privateDnsZones": ResourceType("2020-06-01", _DNS, "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ResourceType("2024-06-01", _DNS, "VirtualNetworkLink"),
    "Microsoft.Network/privateEndpoints": ResourceType("2025-05-01", _NETWORK, "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ResourceType(
        "2025-05-01", _NETWORK, "PrivateDnsZoneGroup"
    ),
    "Microsoft.Network/publicIPAddresses": ResourceType("2025-05-01", _NETWORK, "PublicIPAddress"),
    "Microsoft.Network/virtualNetworks": ResourceType("2025-05-01", _NETWORK, "VirtualNetwork"),
    "Microsoft.OperationalInsights/workspaces": ResourceType("2025-07-01", _LOGS, "Workspace"),
    "Microsoft.ServiceBus/namespaces": ResourceType("2024-01-01", _BUS, "SBNamespace"),
    "Microsoft.ServiceBus/namespaces/queues": ResourceType("2024-01-01", _BUS, "SBQueue"),
    "Microsoft.Storage/storageAccounts": ResourceType(
        "2025-06-01", _STORAGE, "StorageAccountCreateParameters", "StorageAccount"
    ),
    "Microsoft.Storage/storageAccounts/managementPolicies": ResourceType("2025-06-01", _STORAGE, "ManagementPolicy"),
    _BLOBS: ResourceType("2025-06-01", _STORAGE, "BlobServiceProperties"),
    f"{_BLOBS}/containers": ResourceType("2025-06-01", _STORAGE, "BlobContainer"),
    f"{_BLOBS}/containers/immutabilityPolicies": ResourceType("2025-06-01", _STORAGE, "ImmutabilityPolicy"),
    "Microsoft.Web/serverfarms": ResourceType("2025-03-01", _WEB, "AppServicePlan"),
    "Microsoft.Web/sites": ResourceType("2025-03-01", _WEB, "Site"),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": ResourceType(
        "2025-03-01", _WEB, "CsmPublishingCredentialsPoliciesEntity"
    ),
    "Microsoft.Web/sites/config": ResourceType("2025-03-01", _WEB, "SiteConfigResource"),
}

_BY_NAME = {
    ("Microsoft.Web/sites/config", "appsettings"): "StringDictionary",
    ("Microsoft.Web/sites/config", "authsettingsV2"): "SiteAuthSettingsV2",
    ("Microsoft.Web/sites/config", "logs"): "SiteLogsConfig",
    ("Microsoft.Web/sites/config", "web"): "SiteConfigResource",
}


def by_name(kind: str, name: str) -> str:
    """The model where it depends on the name of the resource; empty: it does not."""
    return _BY_NAME.get((kind, name), "")
