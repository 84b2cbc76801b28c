"""Print the output of the commands."""
