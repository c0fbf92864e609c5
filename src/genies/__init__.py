"""GENIES measures how preference models generalize across distribution shifts (Clymer et al. 2023)."""

__version__ = "1.0.0.dev0"

NUMERICS_VERSION = 1
"""Raised whenever results of our interventions may change: it is part of every fingerprint of theirs."""
