"""Images to train on: read, checked, split, augmented."""
