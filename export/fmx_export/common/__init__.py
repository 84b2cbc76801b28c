"""Parts that both formats use: errors, calibration, quantization config, graphs, layer errors."""
