"""Provenance says where a result comes from and gives no secret away."""

from pathlib import Path

from genies.harness.provenance import command, git_state, without_credentials


def test_credentials_are_taken_out_of_urls() -> None:
    argv = ["train.py", "--hub", "https://me:hf_secret@example.org/x", "--other", "ssh://git@host/y"]
    assert command(argv) == ["train.py", "--hub", "https://example.org/x", "--other", "ssh://host/y"]
    assert without_credentials("no url, me@mail") == "no url, me@mail"


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {}
