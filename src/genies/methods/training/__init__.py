"""Training on packed pairs: reward models and log-probability classifiers, with adapters or all weights.

Nothing is imported here, so that `genies.methods.training.arguments` costs no torch.
"""
