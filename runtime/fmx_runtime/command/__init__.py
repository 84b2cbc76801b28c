"""The command ``fmx-run``."""
