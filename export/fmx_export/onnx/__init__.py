"""Keras model -> ONNX files."""
