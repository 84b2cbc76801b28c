"""What can be exported, and what its input means."""
