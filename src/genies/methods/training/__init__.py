"""Training on packed pairs: reward models and log-probability classifiers, with adapters or all weights.

Nothing is imported here: `genies.methods.training.arguments` can be imported without torch.
"""
