"""Make probing targets of a distribution by transformations that do not change which response is best.

python api/transform_distribution.py --distribution distributions/starter_sums --name upper_case
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.transform_distribution import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
