"""Everything that is true without Azure Functions. Nothing in here imports ``azure.functions``."""
