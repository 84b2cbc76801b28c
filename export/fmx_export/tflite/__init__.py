"""TFLite: convert, calibrate and quantize; read graphs and layer errors; write TFLite metadata."""
