"""Measure models where they run: accuracy, times, memory; host and device do it with this code."""

__all__: list[str] = []
