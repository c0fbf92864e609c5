"""Make the HTML report of a results folder, or a browser of distributions alone.

python api/report.py --results_dir results --output report
python api/report.py --distributions_dir distributions --output samples
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.report import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
