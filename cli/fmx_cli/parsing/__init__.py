"""How the command line is parsed and how its help looks."""
