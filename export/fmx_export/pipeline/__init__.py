"""One export from its source to the published folder."""
