"""Read an image in any form and prepare it as the input of a network."""
