"""The example of docs/library.md, as it is written there."""

import re
import subprocess
import sys

import pytest

from genies.data.distribution import Distribution
from tests.support.chat_templates import chat_tokenizer
from tests.support.project import ROOT
from tests.support.tiny_models import make_network


@pytest.fixture
def code() -> str:
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return found


def test_the_probe_runs_in_an_empty_folder_and_its_page_counts_its_lines(code, tmp_path, tiny_model_dir) -> None:
    written = [line for line in code.splitlines() if line.strip()]
    assert len(written) <= 40
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "SmolLM2-135M-Instruct").symlink_to(tiny_model_dir())
    # A fifth of the source is enough to see that it runs; the names and all else are as in the page.
    few = code.replace("source.train", "source.train[:40]").replace("target.test", "target.test[:20]")
    assert few.count("[:") == code.count("[:") + 2
    done = subprocess.run([sys.executable, "-c", few], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    block, accuracy, baseline = re.fullmatch(
        r"block (\d): accuracy ([\d.]+), Brier score [\d.]+\nuntuned model: accuracy ([\d.]+)\n", done.stdout
    ).groups()  # type: ignore[union-attr]
    assert int(block) in (0, 1)
    pairs = sum(len(each.responses) - 1 for each in Distribution(ROOT / "distributions" / "starter_scenes").test[:20])
    for each in (accuracy, baseline):
        assert float(each) * pairs == pytest.approx(round(float(each) * pairs * 2) / 2, abs=pairs / 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_the_example_in_chat_format_runs(tmp_path) -> None:
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python chat\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    tokenizer = chat_tokenizer("line_end")
    folder = tmp_path / "models" / "SmolLM2-135M-Instruct"
    make_network("llama", len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    accuracy, tokens = map(float, done.stdout.split())
    assert 0 <= accuracy <= 1
    assert tokens > 2
