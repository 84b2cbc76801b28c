"""The trained model: load and check it, find its input range, and run it as the reference."""
