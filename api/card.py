"""A generalization card of a reward model, a judge or a language model: what it prefers, as answers to questions.

python api/card.py --model_dir models/SmolLM2-135M-Instruct --output_dir cards/SmolLM2
python api/card.py --collect cards
"""

from pathlib import Path

import installed  # noqa: F401

from genies.command_line import run
from genies.commands.card import main

if __name__ == "__main__":
    run(main, Path(__file__).resolve().parents[1])
