"""What the commands do: call the libraries one after the other and print the results."""
