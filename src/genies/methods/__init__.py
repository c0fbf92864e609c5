"""Code that several interventions share: evaluation files, directions, calibration, training."""
