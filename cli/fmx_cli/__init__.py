"""The command ``fmx``."""
