"""What both formats share."""
