"""Import data sets of a hub of our own on the loopback, and published splits."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from genies.command_line import parse
from genies.commands.import_distribution import ImportDistributionArguments, main
from genies.data.distribution import Distribution
from genies.data.importing.hub_data import choose_data
from genies.data.importing.published_splits import published_tests
from genies.errors import InputError

COMMIT = "c0ffee" + "0" * 34


def rows(start: int, stop: int) -> bytes:
    lines = [{"prompt": f"question {n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(start, stop)]
    return "".join(json.dumps(each) + "\n" for each in lines).encode()


FILES = {
    "README.md": b"# data",
    "load.py": b"raise SystemExit",
    "dataset_infos.json": b"{}",
    "helpful/train.jsonl.gz": gzip.compress(rows(0, 12), mtime=0),
    "helpful/test.jsonl.gz": gzip.compress(rows(10, 15), mtime=0),
    "harmless/test.jsonl.gz": gzip.compress(rows(20, 25), mtime=0),
}


@dataclass
class Hub:
    files: dict[str, bytes] = field(default_factory=lambda: dict(FILES))
    sent: list[str] = field(default_factory=list)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, data: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if not path.startswith(("/api/datasets/owner/prefs", "/datasets/owner/prefs")):
                return self.answer(b"{}", 404, X_Error_Code="RepoNotFound")
            if path.startswith("/api/"):
                revision = path.partition("/revision/")[2]
                if revision not in ("", "v1"):
                    return self.answer(b"{}", 404, X_Error_Code="RevisionNotFound")
                siblings: list[Any] = [{"rfilename": name, "size": len(data)} for name, data in state.files.items()]
                value = {"id": "owner/prefs", "sha": COMMIT, "siblings": siblings}
                return self.answer(json.dumps(value).encode(), Content_Type="application/json")
            name = path.partition(f"/resolve/{COMMIT}/")[2]
            state.sent.append(name)
            return self.answer(state.files[name])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from huggingface_hub import constants

    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("GENIES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield state
    server.shutdown()
    server.server_close()


def run(tmp_path: Path, *items: str) -> Distribution:
    folder = tmp_path / "all" / "mine"
    assert main(parse(ImportDistributionArguments, [*items, "--output_dir", str(folder)]), tmp_path) == 0
    return Distribution(folder)


def test_a_data_set_of_the_hub_is_imported_with_its_commit(hub: Hub, tmp_path: Path) -> None:
    made = run(tmp_path, "--hub_dataset", "owner/prefs", "--revision", "v1")
    assert len(made.train) + len(made.test) == 22
    assert {"hub_dataset": "owner/prefs", "revision": COMMIT, "source": "owner/prefs"}.items() <= made.metadata.items()
    assert sorted(hub.sent) == sorted(name for name in FILES if name.endswith(".gz"))  # neither code nor notes


def test_a_pattern_chooses_files_and_an_import_again_downloads_nothing(hub: Hub, tmp_path: Path) -> None:
    run(tmp_path, "--hub_dataset", "owner/prefs")
    hub.sent.clear()
    made = run(tmp_path, "--hub_dataset", "owner/prefs", "--hub_files", "helpful/*", "--overwrite", "True")
    assert len(made.train) + len(made.test) == 17
    assert sorted(hub.sent) == ["helpful/test.jsonl.gz", "helpful/train.jsonl.gz"]
    hub.sent.clear()
    run(tmp_path, "--hub_dataset", "owner/prefs", "--hub_files", "helpful/*", "--overwrite", "True")
    assert hub.sent == []


def test_published_splits_are_kept_and_common_prompts_told(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(tmp_path, "--hub_dataset", "owner/prefs", "--keep_splits", "True")
    assert {each.user_message[0] for each in made.train} == {f"question {n}" for n in range(12)}
    assert {each.user_message[0] for each in made.test} == {f"question {n}" for n in [*range(10, 15), *range(20, 25)]}
    assert "in both published splits: 2 prompts" in capsys.readouterr().out
    assert made.metadata["data"]["splits"] == "as published"


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["--hub_dataset", "owner/other"], "the hub has no data set owner/other"),
        (["--hub_dataset", "owner/prefs", "--revision", "v9"], "data set owner/prefs has no revision 'v9'"),
        (["--hub_dataset", "owner/prefs", "--hub_files", "*.csv"], "matches no data file"),
        (["--hub_dataset", "a/b/c"], "is not a data set id of the hub"),
    ],
)
def test_what_the_hub_lacks_is_said(hub: Hub, tmp_path: Path, items: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(tmp_path, *items)
    assert not (tmp_path / "all").exists()


def test_files_in_several_formats_must_be_chosen() -> None:
    files = ["a/train.parquet", "a/train.jsonl", "README.md", ".git/x.json"]
    with pytest.raises(InputError, match=r"several formats.*--hub_files"):
        choose_data(files, None, "data set x")
    assert choose_data(files, "*.parquet", "data set x") == ["a/train.parquet"]
    with pytest.raises(InputError, match="contains no Parquet, JSON or CSV file"):
        choose_data(["load.py", "dataset_infos.json"], None, "data set x")


def test_validation_is_the_test_split_only_without_one(tmp_path: Path) -> None:
    train, valid, test = (tmp_path / f"{name}-0.parquet" for name in ("train", "validation", "test"))
    assert published_tests([train, valid], tmp_path) == ({train: False, valid: True}, [])
    assert published_tests([train, valid, test], tmp_path) == ({train: False, test: True}, [valid])
    with pytest.raises(InputError, match="does not tell its split"):
        published_tests([tmp_path / "all.parquet"], tmp_path)
    with pytest.raises(InputError, match="has no test or validation file"):
        published_tests([train], tmp_path)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "--data_path PATH is missing, .*--hub_dataset OWNER/NAME downloads"),
        (["--data_path", "x.jsonl", "--hub_dataset", "a/b"], "give the data one way"),
        (["--data_path", "x.jsonl", "--revision", "v1"], "--revision is for --hub_dataset"),
        (["--data_path", "x", "--keep_splits", "True", "--test_share", "0.5"], "--test_share has no effect"),
    ],
)
def test_arguments_without_effect_are_refused(tmp_path: Path, items: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(tmp_path, *items)
