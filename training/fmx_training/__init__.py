"""Train an image classifier with Keras."""
