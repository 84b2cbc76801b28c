"""Find, check and read what a model file states about its model."""
