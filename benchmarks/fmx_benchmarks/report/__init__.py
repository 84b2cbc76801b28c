"""Measurements as tables, plots and pages."""
