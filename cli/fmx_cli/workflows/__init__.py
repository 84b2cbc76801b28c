"""Run the commands: call the libraries one after the other and print the results."""
