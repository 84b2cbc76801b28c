"""Measure models: on this machine, on devices over SSH, and with reference tools."""
