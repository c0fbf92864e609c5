"""Learning curves: accuracy on sources and targets against the steps of one training."""
