"""Checks of everything that is claimed. Re-runs commands as programs; imports no workshop."""
