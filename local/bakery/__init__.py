"""The sample bakery: ovens that are processes of their own, speak real HTTP, and bake."""
