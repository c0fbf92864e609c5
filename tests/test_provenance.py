"""Provenance says where a result comes from and gives no secret away."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from genies.contract import argument_items
from genies.credentials import published, published_items
from genies.harness.fingerprint import differences
from genies.provenance import command, git_state
from tests.support.project import Project


def test_credentials_are_taken_out_of_urls() -> None:
    argv = ["train.py", "--hub", "https://me:hf_secret@example.org/x", "--other", "ssh://git@host/y"]
    assert command(argv) == ["train.py", "--hub", "https://example.org/x", "--other", "ssh://host/y"]
    assert command(["train.py", "no url, me@mail"]) == ["train.py", "no url, me@mail"]


SECRETS = {"api_key": "sk-1234567890", "nested": {"hub_token": "hf_0987654321", "url": "https://me:pass-word@host/"}}
HIDDEN = ("sk-1234567890", "hf_0987654321", "pass-word")


def test_secrets_among_the_arguments_reach_the_scripts_and_no_record_table_or_report(project: Project) -> None:
    for script in ("train.py", "eval.py"):
        path = project.length / script
        takes = (
            'parser.add_argument("--api_key"); parser.add_argument("--nested", type=json.loads)\nargs = parser.parse'
        )
        use = "\nassert args.api_key.startswith('sk-') and args.nested['hub_token'].startswith('hf_')\n"
        text = path.read_text().replace("args = parser.parse_args()", f"{takes}_args(){use}")
        path.write_text(text)
    given = {
        "train_kwargs": SECRETS,
        "eval_kwargs": SECRETS,
        "baseline_intervention": project.length,
        "output_path": project.folder / "results" / "generalization_metrics" / "base" / "length" / "table.csv",
    }
    ended = project.metrics(**given, report_dir=project.folder / "report")
    assert ended.returncode == 0, ended.stderr
    made = [project.folder / name for name in ("models", "results", "report", "cache")]
    files = [path for folder in made for path in folder.rglob("*") if path.is_file()]
    texts = {path: path.read_text(encoding="utf-8", errors="replace") for path in files}
    assert [str(path) for path, text in texts.items() if any(secret in text for secret in HIDDEN)] == []
    assert not any(secret in ended.stdout + ended.stderr for secret in HIDDEN)
    record = json.loads((project.folder / "models" / "length" / "base-long" / "training_step.json").read_text())
    assert re.fullmatch(r"\*\*\*[0-9a-f]{4}", record["parts"]["kwargs"]["api_key"])
    assert record["argv"][record["argv"].index("--api_key") + 1] == record["parts"]["kwargs"]["api_key"]

    again = project.metrics(**given)
    assert ", 0 jobs run, 0 unverified" in again.stdout
    changed = project.metrics(**given | {"train_kwargs": {**SECRETS, "api_key": "sk-other"}}, dry_run=True)
    assert "changed since: kwargs.api_key" in changed.stdout


def test_a_record_that_still_holds_a_secret_is_reused_and_shown_masked() -> None:
    now = {"kwargs": published({"api_key": "sk-1234567890", "k": 1})}
    assert differences(now, {"kwargs": {"api_key": "sk-1234567890", "k": 1}}) == []
    assert differences(now, {"kwargs": {"api_key": "sk-other", "k": 1}}) == ["kwargs.api_key"]
    assert published(now) == now


@pytest.mark.parametrize("kwargs", [{"password": 7}, {"a": [{"secret": {"b": 1}}]}, {"auth_token": ["x"]}])
def test_what_a_secret_holds_is_masked_whatever_its_type(kwargs: dict[str, Any]) -> None:
    items = argument_items(kwargs)
    assert "***" in json.dumps(published(kwargs))
    assert "***" in " ".join(published_items(items))
    assert published({**kwargs, "password": None})["password"] is None


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {}
