"""The custom connector for Power Automate, Power Apps and Logic Apps, made from the code that serves it.

``python -m infra.connector`` writes ``apiDefinition.swagger.json`` (Swagger 2.0), ``apiProperties.json``,
``settings.json`` and ``icon.png`` here; with ``--check`` it only says whether they are in step (a test does the same).
Triggers and their fields come from ``shared/platforms/power_automate/triggers.py``, parameters and answers from the
pydantic models that the handlers parse and answer with; ``operations.py`` says which functions are in it, in the
words of people who make flows. ``lint.py`` holds the rules that Microsoft's own validator, which needs a sign-in, would
apply.
"""
