"""``apiProperties.json``: how a connection is made, and the policies; and the two ways to sign in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.connector.operations import POLLED

__all__ = ["BRAND_COLOR", "Entra", "properties", "security", "settings"]

Json = dict[str, Any]
BRAND_COLOR = "#7A3E1D"
LOGIN = "https://login.microsoftonline.com"
REDIRECT = "https://global.consent.azure-apim.net/redirect"


@dataclass(frozen=True, slots=True)
class Entra:
    """Sign in with a work account instead of an API token."""

    client_id: str
    tenant_id: str
    resource: str
    """The app registration of this Ovenbridge, such as ``api://...``."""


def security(entra: Entra | None) -> Json:
    """``securityDefinitions`` of Swagger."""
    if entra is None:
        return {"api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
    authority = f"{LOGIN}/{entra.tenant_id}/oauth2"
    return {
        "entra": {
            "type": "oauth2",
            "flow": "accessCode",
            "authorizationUrl": f"{authority}/authorize",
            "tokenUrl": f"{authority}/token",
            "scopes": {},
        }
    }


def properties(entra: Entra | None = None) -> Json:
    """The file."""
    return {
        "properties": {
            "connectionParameters": {"hostUrl": _host(), **(_token() if entra is None else _sign_in(entra))},
            "iconBrandColor": BRAND_COLOR,
            "capabilities": [],
            "publisher": "Ovenbridge",
            "stackOwner": "Ovenbridge",
            "policyTemplateInstances": [
                {
                    "templateId": "dynamichosturl",
                    "title": "Each customer has an address of their own",
                    "parameters": {
                        "x-ms-apimTemplateParameter.urlTemplate": "https://@connectionParameters('hostUrl')",
                    },
                },
                {
                    "templateId": "pollingtrigger",
                    "title": "Ask from where the last answer ended",
                    "parameters": {
                        "x-ms-apimTemplateParameter.triggerConfig": {"cursor": "@{triggerBody().cursor}"},
                        "x-ms-apimTemplateParameter.triggerDataPath": "@triggerBody().items",
                        "x-ms-apimTemplate-operationName": [p.operation for p in POLLED if p.form == "cursor"],
                    },
                },
            ],
        }
    }


def settings() -> Json:
    """For ``paconn``: which files belong together. Which environment, whoever imports it says."""
    return {
        "connectorId": "",
        "environment": "",
        "apiProperties": "apiProperties.json",
        "apiDefinition": "apiDefinition.swagger.json",
        "icon": "icon.png",
        "powerAppsUrl": "https://api.powerapps.com",
        "powerAppsApiVersion": "2016-11-01",
    }


def _host() -> Json:
    return {
        "type": "string",
        "uiDefinition": {
            "displayName": "Address of your Ovenbridge",
            "description": "Without https://, for example ovenbridge-bakery.azurewebsites.net",
            "tooltip": "The host name that your administrator gave you, without https:// and without a slash",
            "constraints": {"tabIndex": 1, "required": "true"},
        },
    }


def _token() -> Json:
    return {
        "api_key": {
            "type": "securestring",
            "uiDefinition": {
                "displayName": "API token",
                "description": "The token that your administrator made for you; it begins with ob_",
                "tooltip": "Ask your administrator for an API token with the role engineer, operator or viewer",
                "constraints": {"tabIndex": 2, "clearText": False, "required": "true"},
            },
        }
    }


def _sign_in(entra: Entra) -> Json:
    return {
        "token": {
            "type": "oauthSetting",
            "oAuthSettings": {
                "identityProvider": "aad",
                "clientId": entra.client_id,
                "scopes": [],
                "redirectMode": "GlobalPerConnector",
                "redirectUrl": REDIRECT,
                "properties": {"IsFirstParty": "False", "AzureActiveDirectoryResourceId": entra.resource},
                "customParameters": {
                    "loginUri": {"value": LOGIN},
                    "tenantId": {"value": entra.tenant_id},
                    "resourceUri": {"value": entra.resource},
                    "enableOnbehalfOfLogin": {"value": "false"},
                },
            },
        }
    }
