"""Reports of a benchmark result: terminal table, Markdown, one HTML page, comparison table."""
