"""Score token ids with lm-evaluation-harness in a process of its own, for benchmarks/scoring.py.

python benchmarks/lm_eval_process.py MODEL DTYPE BATCH_SIZE REQUESTS TOTALS

REQUESTS is a JSON list of [context ids, continuation ids]; TOTALS becomes the list of their total log-probabilities.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(model: str, dtype: str, batch_size: str, requests: str, totals: str) -> None:
    """Load the model and score."""
    from lm_eval.models.huggingface import HFLM

    network = HFLM(pretrained=model, device="cpu", dtype=dtype, batch_size=int(batch_size))
    asked = [(("", ""), context, continuation) for context, continuation in json.loads(Path(requests).read_text())]
    found = network._loglikelihood_tokens(asked, disable_tqdm=True)
    Path(totals).write_text(json.dumps([total for total, _ in found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
