"""Tables of a results folder: means with intervals, paired differences, every shift, in Markdown, LaTeX, CSV or JSON.

python api/tables.py --results_dir results --format markdown
python api/tables.py --results_dir results --table differences --against mms
python api/tables.py --results_dir results --format latex --table means --output means.tex
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.tables import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
