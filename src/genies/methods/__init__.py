"""What several interventions share: evaluation files, directions, calibration."""
