"""Statistics of a benchmark result: accuracy, confidence intervals, comparisons and limits."""
