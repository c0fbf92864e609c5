"""Distributions, shifts, and where they come from. Imports no torch."""
