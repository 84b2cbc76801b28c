"""Images -> a trained Keras model."""
