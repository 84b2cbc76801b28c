"""The interpreters that run a model: LiteRT, tflite-runtime and ONNX Runtime."""
