"""Plots of a training run, drawn with matplotlib."""
