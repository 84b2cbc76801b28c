"""Helpers that every other part of the runtime may use."""
