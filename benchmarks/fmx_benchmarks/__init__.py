"""Benchmark models: measurements, statistics and reports."""

__all__: list[str] = []
