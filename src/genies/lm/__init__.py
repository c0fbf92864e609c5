"""Decoder language models: loading, text to ids, packed scoring, last-token activations.

Nothing heavy is imported here: `genies.lm.arguments` and `genies.lm.sites` can be imported without torch.
"""

import os

# Set before torch is imported: OpenMP threads that wait for each other sleep after a short time instead of spinning.
# When other work used the same cores, spinning made a forward pass ten times slower. On idle cores, sleeping costs
# almost nothing.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
