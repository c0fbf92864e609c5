"""Distributions made from preference data as people have it: read row by row, split by prompt, written whole."""
