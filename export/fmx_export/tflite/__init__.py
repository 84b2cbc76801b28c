"""Keras model -> TFLite files."""
