"""The results of the 2023 release with intervals: writes the page docs/reanalysis-2023.md and its figures.

python api/reanalyse_release.py --results_dir results/release-2023 --output reanalysis.md
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.reanalyse_release import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
