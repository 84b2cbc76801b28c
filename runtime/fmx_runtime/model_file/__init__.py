"""What a model file says of itself, and how that is found, checked and read."""
