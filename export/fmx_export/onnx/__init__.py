"""Convert Keras models to ONNX: float32, float16 and int8."""
