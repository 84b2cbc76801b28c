"""Measure accuracy, latency, throughput and memory, for `fmx-run bench` and `fmx bench`."""

__all__: list[str] = []
