"""The gate over ``infra/``: what can be known of the Bicep files without a compiler. See docs/infra-gate.md."""
