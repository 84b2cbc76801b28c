"""An image in any form -> the pixels and the tensor that a network takes."""
