"""The OpenAPI 3.1 description of the whole HTTP surface, made from the code that serves it.

``python -m infra.openapi`` writes ``functions/openapi.json``, which the app serves at ``/openapi.json``; with
``--check`` it only says whether that file is in step (a test does the same). Nothing is written by hand twice: routes
and methods come from the ``FunctionApp``, bodies and queries from the pydantic models that the handlers parse with,
statuses from the answers they give, sentences from their docstrings.
"""
