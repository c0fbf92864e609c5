"""Make a distribution from preference data: JSONL, CSV, Parquet, or a folder saved by `datasets`.

python api/import_distribution.py --data_path preferences.jsonl --output_dir distributions/mine
python api/import_distribution.py --data_path ultra/ --data_split train_prefs --output_dir distributions/ultra
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.import_distribution import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
