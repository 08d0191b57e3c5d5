"""The relay on the plant's network. Health today; device reading joins it (docs/decisions.md)."""

import azure.functions as func

from functions import health

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
app.register_functions(health.bp)
