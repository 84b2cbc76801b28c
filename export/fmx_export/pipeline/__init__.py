"""The export of one Keras model, from conversion to the published folder."""
