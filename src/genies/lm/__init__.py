"""Decoder language models: loading, text to ids, packed scoring, last-token activations.

Nothing heavy is imported here, so that `genies.lm.arguments` and `genies.lm.sites` cost no torch.
"""

import os

# Before torch is loaded: threads that wait for one another soon go to sleep instead of spinning. Where other work
# shares the cores, spinning made a forward pass ten times slower; where none does, sleeping costs next to nothing.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
