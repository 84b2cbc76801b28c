"""Pictures -> a trained Keras model."""
