"""Model files + labelled pictures -> measurements -> reports."""
