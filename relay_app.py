"""The relay on the plant's network: reads devices on site, keeps readings until the hub has them, answers on site."""

import azure.functions as func

from functions import relay_health, relay_hooks, relay_requests, relay_running

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
for surface in (relay_health, relay_hooks, relay_requests, relay_running):
    app.register_functions(surface.bp)
