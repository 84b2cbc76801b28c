"""Export a trained Keras model to TFLite and ONNX files that are calibrated and verified."""
