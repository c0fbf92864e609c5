"""The documentation site: it builds with strict links, and its generated pages say what --help says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from genies.data.audit.finding import Rule
from genies.evaluation_file import Evaluation
from tests.support.commands import ROOT, run_command

pytest.importorskip("mkdocs", reason="the site needs pip install -e .[docs]")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A link or an anchor that leads nowhere, or a page outside the navigation, fails the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text(page: Path) -> str:
    """What a reader sees of a page."""
    html = page.read_text(encoding="utf-8")
    article = html[html.index("<article") : html.index("</article>")]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", article)).split())


def helped(command: str) -> list[str]:
    """The arguments that --help of a command lists."""
    done = run_command(command, ["--help"])
    assert done.returncode == 0, done.stderr
    return re.findall(r"^  (--\w+)", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [
        *sorted(
            path.relative_to(ROOT).as_posix() for path in (ROOT / "api").glob("*.py") if path.name != "installed.py"
        ),
        "download_data.py",
        "download_model_from_hf.py",
    ],
)
def test_every_argument_of_every_command_is_in_the_reference(command: str, site: Path) -> None:
    page = text(site / "reference" / "commands" / "index.html")
    section = re.split(r"(?:api/|download_)\w+\.py ¶", page[page.index(f"{command} ¶") + len(command) + 2 :])[0]
    arguments = set(helped(command)) - {"--help", "--config"}
    assert len(arguments) > 0
    assert [each for each in sorted(arguments) if f"{each} " not in section] == []


def test_every_argument_of_every_intervention_is_in_the_reference(site: Path) -> None:
    page = text(site / "reference" / "interventions" / "index.html")
    for name in ("mms", "prompt_tuning"):
        for script in ("train.py", "eval.py"):
            arguments = set(helped(f"src/interventions/{name}/{script}")) - {"--help", "--config"}
            assert [each for each in sorted(arguments) if f"{each} " not in page] == []
    for folder in (ROOT / "src" / "interventions").glob("*/train.py"):
        assert f"{folder.parent.name} ¶ train.py" in page
    # A default that one intervention changes is listed under it, apart from the shared one.
    assert "--num_train_steps N (default 150 )" in page
    assert "--num_train_steps N (default 100 )" in page


def test_every_key_of_an_evaluation_and_every_rule_of_the_audit_is_in_the_reference(site: Path) -> None:
    keys, rules = (text(site / "reference" / name / "index.html") for name in ("evaluation", "audit"))
    assert [each for each in Evaluation.model_fields if f" {each} " not in keys] == []
    assert [rule.value for rule in Rule if f" {rule.value} " not in rules] == []


def test_the_site_asks_no_other_server_for_anything(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 15
    for page in pages:
        html = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="([^"]+)"', html)
        loaded += [link for tag in re.findall(r"<link[^>]*>", html) for link in re.findall(r'href="([^"]+)"', tag)]
        assert [each for each in loaded if re.match(r"(?:https?:)?//", each)] == [], page


def test_doctests_are_shown_as_code(site: Path) -> None:
    html = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    assert html.count("&gt;&gt;&gt;") > 5
    assert "&gt;&gt;&gt;" not in re.sub(r"<code>.*?</code>", "", html, flags=re.DOTALL)
