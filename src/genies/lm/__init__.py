"""Decoder language models: loading, text to ids, packed scoring, last-token activations.

Nothing is imported here, so that `genies.lm.arguments` costs no torch.
"""
