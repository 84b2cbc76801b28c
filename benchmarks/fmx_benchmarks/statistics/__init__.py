"""What measurements say, and how sure that is."""
