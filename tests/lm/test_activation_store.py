"""The store of activations, and the reader that goes through it."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from genies.errors import InputError
from genies.lm import activation_reader, activation_store
from genies.lm.activation_reader import ActivationReader
from genies.lm.activation_store import ActivationStore, text_key
from genies.lm.activations import last_token_activations
from genies.lm.arguments import ModelArguments
from genies.lm.sites import Layer, Site, all_layers, all_sites

HEADS, BLOCKS = all_sites(2, 4, "heads"), all_sites(2, 4, "blocks")
TEXTS = [[5, 6, 7, 8, 9, 10, 11, 12, place] for place in range(20, 32)]


def cache() -> Path:
    return Path(os.environ["GENIES_CACHE"]) / "activations"


def segments() -> list[Path]:
    return sorted(cache().rglob("*.safetensors"))


@pytest.fixture
def reader(tiny_model_dir):
    def make(family="llama", folder=None, **arguments):
        return ActivationReader(folder or tiny_model_dir(family), ModelArguments(**arguments))

    return make


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
def test_read_kept_and_plain_activations_are_the_same(family, reader, tiny_model):
    expected = last_token_activations(tiny_model(family), TEXTS, HEADS)
    cold = reader(family)(TEXTS, HEADS)
    warm = reader(family)
    assert np.array_equal(warm(TEXTS, HEADS), cold)
    assert (warm.texts_kept, warm.texts_read, warm.forward_tokens) == (len(TEXTS), 0, 0)
    assert np.array_equal(reader(family, no_cache=True)(TEXTS, HEADS), cold)
    np.testing.assert_allclose(cold, expected, atol=1e-5)


def test_what_one_reads_in_heads_another_finds_in_blocks_without_loading_the_model(reader, tiny_model, monkeypatch):
    reader()(TEXTS, HEADS[:3])
    expected = last_token_activations(tiny_model("llama"), TEXTS, BLOCKS)

    def refuse(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("genies.lm.model.load_model", refuse)
    found = reader()(TEXTS, BLOCKS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_missing_texts_are_read_and_each_once(reader):
    first = reader()
    first(TEXTS[:4], HEADS)
    assert first.forward_tokens == 8 + 4  # the shared beginning stands in the row once
    second = reader()
    found = second([*TEXTS[2:6], TEXTS[5], TEXTS[0]], HEADS)
    assert (second.texts_kept, second.texts_read) == (3, 2)
    assert np.array_equal(found[3], found[4])
    alone = reader(no_cache=True)([TEXTS[0]], HEADS)
    np.testing.assert_allclose(found[5:], alone, atol=1e-4)


def test_without_a_cache_nothing_is_written_and_only_what_is_wanted_is_read(reader, tiny_model):
    one = reader(no_cache=True)
    ran = []
    hook = one.model.decoder.layers[1].register_forward_hook(lambda *_: ran.append("deeper"))
    one(TEXTS, [Site(0)])
    hook.remove()
    assert not ran
    assert not cache().exists()


def test_another_model_precision_or_version_has_another_store(reader, tiny_model_dir, tmp_path, monkeypatch):
    reader()(TEXTS, BLOCKS)
    copy = shutil.copytree(tiny_model_dir("llama"), tmp_path / "copy")
    same = reader(folder=copy)
    same(TEXTS, BLOCKS)
    assert same.texts_read == 0
    for different in (reader("qwen2"), reader(dtype="bfloat16"), reader(matmul_precision="medium")):
        different(TEXTS, BLOCKS)
        assert different.texts_kept == 0
    monkeypatch.setattr("genies.NUMERICS_VERSION", 10**6)
    newer = reader()
    newer(TEXTS, BLOCKS)
    assert newer.texts_kept == 0


def test_a_store_too_small_for_every_layer_keeps_what_was_asked_for(reader):
    one = reader()
    everything = one.outline.text_bytes * len(TEXTS)
    small = reader(cache_gb=1.5 * everything / 1e9)
    small(TEXTS, BLOCKS)
    with safe_open(segments()[0], framework="numpy") as segment:
        assert sorted(segment.keys()) == ["blocks.0", "blocks.1", "keys"]
    again = reader()
    again(TEXTS, HEADS)
    assert again.texts_kept == 0


def test_the_size_of_a_text_is_what_a_segment_takes(reader):
    one = reader()
    one(TEXTS, HEADS)
    with safe_open(segments()[0], framework="numpy") as segment:
        held = sum(segment.get_tensor(name).nbytes for name in segment.keys())  # noqa: SIM118
    assert held == len(TEXTS) * (one.outline.text_bytes + 16)


def make_store(limit: int = 10**9, model: str = "model") -> ActivationStore:
    return ActivationStore(cache(), model, limit)


def ones() -> dict[Layer, torch.Tensor]:
    return {layer: torch.ones(1, 1, 100) for layer in all_layers(1)}


def test_the_longest_unused_segments_make_room_for_any_model():
    for place in range(4):
        make_store(model=f"model {place % 2}").add([text_key([place])], ones())
        newest = max(segments(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, ns=(place + 1, place + 1))
    size = newest.stat().st_size
    assert list(make_store(model="model 0").find([text_key([0])], all_layers(1)))  # used: the youngest now
    make_store(limit=3 * size, model="model 2").add([text_key([9])], ones())
    left = [
        next((True for _ in make_store(model=f"model {place % 2}").find([text_key([place])], all_layers(1))), False)
        for place in range(4)
    ]
    assert left == [True, False, False, True]
    assert sum(path.stat().st_size for path in segments()) <= 3 * size


def test_a_segment_larger_than_the_limit_is_not_kept():
    make_store(limit=100).add([text_key([1])], ones())
    assert not segments()


@pytest.mark.parametrize("damage", ["cut", "emptied", "text", "other header"])
def test_a_damaged_segment_is_dropped_and_its_texts_read_again(damage, reader):
    expected = reader()(TEXTS, HEADS)
    [path] = segments()
    content = path.read_bytes()
    changed = {
        "cut": content[: len(content) // 2],
        "emptied": b"",
        "text": b"not a segment",
        "other header": content.replace(b"heads.0", b"heads.7", 1),
    }
    path.write_bytes(changed[damage])
    again = reader()
    assert np.array_equal(again(TEXTS, HEADS), expected)
    assert again.texts_read == len(TEXTS)
    warm = reader()
    warm(TEXTS, HEADS)
    assert warm.texts_read == 0


def test_a_disk_that_is_full_is_told_of_once_and_harms_nothing(reader, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    expected = reader(no_cache=True)(TEXTS, HEADS)
    monkeypatch.setattr("genies.lm.activation_store.write_bytes", full)
    monkeypatch.setattr(activation_reader, "SEGMENT_BYTES", 1)
    one = reader()
    assert np.array_equal(one(TEXTS, HEADS), expected)
    one([[7, 8, 9]], HEADS)
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_what_was_read_before_a_fault_is_kept(reader, monkeypatch):
    monkeypatch.setattr(activation_reader, "SEGMENT_BYTES", 1)
    one = reader()
    passes = 0

    def stop(*_):
        nonlocal passes
        passes += 1
        if passes == 3:
            raise KeyboardInterrupt

    one._batch_tokens = 1
    one.model.decoder.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        one(TEXTS, HEADS)
    again = reader()
    again(TEXTS, HEADS)
    assert again.texts_kept == 2


def test_activations_that_are_no_numbers_are_a_message(reader, tiny_model_dir):
    one = reader()
    with torch.no_grad():
        one.model.decoder.embed_tokens.weight.fill_(float("nan"))
    with pytest.raises(InputError, match=rf"{tiny_model_dir().name}.*activations.*--dtype float32"):
        one(TEXTS, HEADS)
    assert not segments()


_TOGETHER = """
import sys
from pathlib import Path
from genies.lm.activation_reader import ActivationReader
from genies.lm.arguments import ModelArguments
from genies.lm.sites import all_sites
texts = [[5, 6, 7, 8, 9, 10, 11, 12, place, other] for place in range(20, 40) for other in range(20, 30)]
import genies.lm.activation_reader as module
module.SEGMENT_BYTES = 20_000
reader = ActivationReader(Path(sys.argv[1]), ModelArguments(cache_gb=float(sys.argv[2])), batch_tokens=64)
found = reader(texts, all_sites(2, 4, "heads"))
print(f"{found.astype('float64').sum():.6f}")
"""


@pytest.mark.process
def test_two_processes_at_once_read_and_make_room_without_harm(tiny_model_dir, reader):
    """The limit holds a tenth of what they keep: each deletes what the other is about to read."""
    command = [sys.executable, "-c", _TOGETHER, str(tiny_model_dir("llama"))]
    runs = [
        subprocess.Popen([*command, "0.00005"], stdout=subprocess.PIPE, text=True, env=os.environ.copy())
        for _ in range(2)
    ]
    found = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert float(found[0]) == pytest.approx(float(found[1]), abs=1e-2)
    assert sum(path.stat().st_size for path in cache().rglob("*") if path.is_file()) <= 2 * 50_000


def test_a_model_in_sixteen_bits_is_kept_in_sixteen_bits_without_loss(reader):
    cold = reader(dtype="bfloat16")
    found = cold(TEXTS, BLOCKS)
    assert cold.outline.text_bytes * 2 == reader().outline.text_bytes
    with safe_open(segments()[0], framework="pt") as segment:
        assert segment.get_tensor("blocks.1").dtype == torch.bfloat16
    assert np.array_equal(reader(dtype="bfloat16")(TEXTS, BLOCKS), found)


def test_files_of_others_in_the_folder_are_left_alone():
    thesis = cache() / "my_results" / "thesis.csv"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("a" * 10**6)
    os.utime(thesis, (1, 1))
    size = 0
    for place in range(3):
        make_store(limit=2 * size or 10**9).add([text_key([place])], ones())
        size = max(path.stat().st_size for path in segments())
    assert thesis.exists()
    assert len(segments()) == 2


def test_values_that_are_no_numbers_are_dropped_and_read_again(reader):
    expected = reader()(TEXTS, HEADS)
    [path] = segments()
    with safe_open(path, framework="pt") as segment:
        tensors = {name: segment.get_tensor(name) for name in segment.keys()}  # noqa: SIM118 - no mapping
    tensors["heads.0"][0, 0, 0] = float("nan")
    save_file(tensors, path)
    again = reader()
    np.testing.assert_allclose(again(TEXTS, HEADS), expected, atol=1e-6)
    assert again.texts_read == len(TEXTS)


def test_a_disk_that_fails_for_a_moment_costs_no_segment(monkeypatch):
    make_store().add([text_key([1])], ones())

    def fail(*_args, **_named):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(activation_store, "safe_open", fail)
    assert not list(make_store().find([text_key([1])], all_layers(1)))
    assert len(segments()) == 1


def test_a_segment_that_is_being_written_is_not_taken_for_an_old_one():
    make_store().add([text_key([1])], ones())
    [path] = segments()
    young = path.with_name(f".{path.name}.{'0' * 16}.partial")
    young.write_bytes(path.read_bytes())
    old = path.with_name(f".{path.name}.{'1' * 16}.partial")
    old.write_bytes(path.read_bytes())
    os.utime(old, (1, 1))
    make_store(limit=path.stat().st_size).add([text_key([2])], ones())
    assert young.exists()
    assert not old.exists()


def test_a_text_and_the_same_one_a_token_longer_are_kept_apart(reader, tiny_model):
    longer = [[*ids, 2] for ids in TEXTS]
    for _ in range(2):  # from the model, and from the store
        for texts in (TEXTS, longer):
            expected = last_token_activations(tiny_model("llama"), texts, HEADS)
            np.testing.assert_allclose(reader()(texts, HEADS), expected, atol=1e-5)
    both = reader()
    both([*TEXTS, *longer], HEADS)
    assert both.texts_kept == 2 * len(TEXTS)


def test_both_ends_of_a_text_cost_a_token_more_than_one(reader):
    longer = [[*ids, 2] for ids in TEXTS]
    both = reader(no_cache=True)
    both([*TEXTS, *longer], HEADS)
    assert both.forward_tokens == 8 + 2 * len(TEXTS)  # the shared beginning, and two tokens of each


def test_what_is_read_along_is_kept_unless_a_row_of_its_own_or_the_disk_pays_for_it(reader, tiny_model):
    longer = [[*ids, 2] for ids in TEXTS]
    one = reader()
    found = one(TEXTS, HEADS, also=[*longer, *TEXTS])
    assert (one.texts_read, one.forward_tokens) == (len(TEXTS), 8 + 2 * len(TEXTS))
    np.testing.assert_allclose(found, last_token_activations(tiny_model("llama"), TEXTS, HEADS), atol=1e-5)
    other = reader()
    expected = last_token_activations(tiny_model("llama"), longer, HEADS)
    np.testing.assert_allclose(other(longer, HEADS), expected, atol=1e-5)
    assert other.texts_read == 0

    small = reader("qwen2", cache_gb=3 * one.outline.text_bytes * len(TEXTS) / 1e9)
    small(TEXTS, HEADS, also=longer)
    padded = reader("gpt2")
    padded.__dict__["model"] = replace(padded.model, packs=False)
    padded.model.network.set_attn_implementation("sdpa")
    padded(TEXTS, HEADS, also=longer)
    for family in ("qwen2", "gpt2"):
        later = reader(family)
        later(longer, HEADS)
        assert later.texts_kept == 0
