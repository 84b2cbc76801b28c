"""A trained Keras model -> model files that are calibrated, verified and describe themselves."""
