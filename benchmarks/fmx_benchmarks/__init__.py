"""Model files + labeled images -> measurements -> reports."""
