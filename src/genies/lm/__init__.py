"""Decoder language models: loading, text to ids, packed scoring, last-token activations.

Nothing heavy is imported here: `genies.lm.arguments` and `genies.lm.sites` can be imported without torch.
"""
