"""Typed settings: one module per phase, `study` for a whole YAML. Imports no other room."""
