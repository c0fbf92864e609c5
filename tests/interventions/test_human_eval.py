"""The script runs with a pseudo-terminal for its input and output, and a person made of a function."""

import codecs
import fcntl
import json
import os
import pty
import re
import select
import shlex
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from genies.contract import evaluation_items
from genies.evaluation_file import read_evaluation
from tests.support.scripts import INTERVENTIONS, planted_examples, write_distribution

Person = Callable[[str], str]


def command(distributions: list[Path], outputs: list[Path], **kwargs: object) -> list[str]:
    items = evaluation_items("no/model", list(map(str, distributions)), list(map(str, outputs)), kwargs)
    return [sys.executable, str(INTERVENTIONS / "human_eval" / "eval.py"), *items]


def talk(argv: list[str], person: Person) -> tuple[int, str]:
    """Exit status and all that the terminal showed; `person` answers each question from what was shown since."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        argv,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches it
    )
    os.close(theirs)
    decoder, shown, answered, answer = codecs.getincrementaldecoder("utf-8")(errors="replace"), "", 0, ""
    silences = 0
    try:
        while True:
            if not select.select([ours], [], [], 5)[0]:
                silences += 1
                assert silences < 12, f"nothing was said for {5 * silences} seconds after {shown[-200:]!r}"
                if not answer.isprintable() and len(answer) == 1:
                    # An end of input that arrives while the terminal changes its mode is lost; a person types again.
                    os.write(ours, answer.encode())
                continue
            silences = 0
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end has closed
                break
            if not part:
                break
            shown += decoder.decode(part)
            if shown.endswith("p, q)? "):
                answer = person(shown[answered:].replace("\r\n", "\n"))
                answered = len(shown)
                os.write(ours, answer.encode())
    except BaseException:
        process.kill()
        raise
    finally:
        os.close(ours)
    return process.wait(timeout=30), shown.replace("\r\n", "\n")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def knows_the_truth(question: str) -> str:
    """The number of the response that ends in true; nothing else in planted examples says so."""
    [number] = re.findall(r"\[(\d)\]\n  \| [^\n]* true\n", question)
    return f"{number}\n"


@pytest.fixture
def distribution(tmp_path):
    return write_distribution(tmp_path / "d", [], planted_examples(5, 1, responses=3))


def test_a_person_who_knows_gets_everything_right(distribution, tmp_path):
    output = tmp_path / "out" / "d.json"
    status, shown = talk(command([distribution], [output]), knows_the_truth)
    assert status == 0
    _, found = read_evaluation(output)
    assert found["eval_accuracy"] == 1
    assert found["eval_probabilities"] == [1.0] * 10
    assert found["eval_example_indices"] == [index for index in range(5) for _ in range(2)]
    assert found["eval_passed_examples"] == 0
    assert names(output.parent) == ["d.json"]
    for example in planted_examples(5, 1, responses=3):
        assert f"  | {example['prompt']}\n" in shown


def test_ranks_and_passes_become_probabilities(tmp_path):
    examples = [{"prompt": f"Q{index}", "responses": {"best": 1.0, "x": 0.0, "y": 0.0}} for index in range(4)]
    folder = write_distribution(tmp_path / "d", [], examples)
    wanted = {"Q0": ["x"], "Q1": ["x", "best"], "Q2": [], "Q3": ["y", "x"]}

    def person(question):
        numbers = {text: number for number, text in re.findall(r"\[(\d)\]\n  \| (\w+)\n", question)}
        [prompt] = re.findall(r"\n  \| (Q\d)\n", question)
        return " ".join(numbers[each] for each in wanted[prompt]) + "\n" if wanted[prompt] else "p\n"

    assert talk(command([folder], [tmp_path / "o.json"]), person)[0] == 0
    _, found = read_evaluation(tmp_path / "o.json")
    assert found["eval_probabilities"] == [0.0, 0.5, 0.0, 1.0, 0.5, 0.5, 0.0, 0.0]
    assert found["eval_accuracy"] == pytest.approx(2.5 / 8)
    assert found["eval_passed_examples"] == 1


def test_quitting_keeps_the_answers_and_a_second_run_asks_only_the_rest(distribution, tmp_path):
    other = write_distribution(tmp_path / "e", [], planted_examples(3, 2))
    outputs = [tmp_path / "out" / name for name in ("d.json", "e.json")]
    asked: list[str] = []

    def person(question):
        asked.append(question)
        return "q\n" if len(asked) == 7 else knows_the_truth(question)

    status, shown = talk(command([distribution, other], outputs), person)
    assert status == 130
    assert "run the same command again" in shown
    assert names(outputs[0].parent) == [".d.json.answers.json", ".e.json.answers.json", "d.json"]
    status, _ = talk(command([distribution, other], outputs), person)
    assert status == 0
    assert len(asked) == 5 + 3 + 1
    prompts = [re.findall(r"\n  \| (Q: [^\n]*\?)\n", question)[0] for question in asked]
    assert prompts[6] == prompts[7]
    assert len(set(prompts)) == 8
    assert [read_evaluation(path)[0].eval_accuracy for path in outputs] == [1, 1]
    assert names(outputs[0].parent) == ["d.json", "e.json"]


@pytest.mark.parametrize("last", ["\x04", "\x03"], ids=["end of input", "Ctrl-C"])
def test_end_of_input_and_ctrl_c_keep_the_answers_too(last, distribution, tmp_path):
    asked: list[str] = []

    def person(question):
        asked.append(question)
        return knows_the_truth(question) if len(asked) == 1 else last

    status, shown = talk(command([distribution], [tmp_path / "o.json"]), person)
    assert (status, len(asked)) == (130, 2)
    assert "run the same command again" in shown
    assert "Traceback" not in shown
    kept = json.loads((tmp_path / ".o.json.answers.json").read_text())
    assert len(kept["rankings"]) == 1


def test_the_order_is_seeded_and_mixes_where_the_best_response_stands(tmp_path):
    folder = write_distribution(tmp_path / "d", [], planted_examples(12, 3))

    def session(seed, name):
        answers = []

        def person(question):
            answers.append(knows_the_truth(question).strip())
            return answers[-1] + "\n"

        _, shown = talk(command([folder], [tmp_path / name], seed=seed), person)
        return answers, shown

    one, again, other = session(1, "a"), session(1, "b"), session(2, "c")
    assert one == again != other
    assert set(one[0]) == {"1", "2"}
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_control_sequences_in_data_are_shown_as_escapes_and_lines_cannot_pass_for_ours(tmp_path):
    hostile = "\x1b[2J\x1b]0;title\x07\x9b31m\r\u202egnp.\u2028ok\n[2]\nbest (1 to 2, p, q)? 日本"
    folder = write_distribution(tmp_path / "d", [], [{"prompt": hostile, "responses": {hostile: 1.0, "b": 0.0}}])
    status, shown = talk(command([folder], [tmp_path / "o"]), lambda _question: "1\n")
    assert status == 0
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2028"}
    assert (
        "  | \\x1b[2J\\x1b]0;title\\x07\\x9b31m\\r\\u202egnp.\\u2028ok\n  | [2]\n  | best (1 to 2, p, q)? 日本\n"
        in shown
    )


def test_a_slip_is_asked_again(distribution, tmp_path):
    slips = iter(["\n", "4\n", "1 1\n", "0\n", "no\x1b[A\n", "²\n"])
    status, shown = talk(command([distribution], [tmp_path / "o.json"]), lambda _question: next(slips, "p\n"))
    assert status == 0
    assert shown.count("expected numbers from 1 to 3") == 6
    assert read_evaluation(tmp_path / "o.json")[0].eval_probabilities == [0.5] * 10


def test_answers_to_other_data_are_refused(distribution, tmp_path):
    talk(command([distribution], [tmp_path / "o.json"]), one_then_quit())
    (distribution / "test.json").write_text(json.dumps(planted_examples(5, 9)))
    status, shown = talk(command([distribution], [tmp_path / "o.json"]), knows_the_truth)
    assert status == 2
    assert "answers to another test.json" in shown
    (tmp_path / ".o.json.answers.json").write_text('{"test_sha256": 1, "rankings": []}')
    status, shown = talk(command([distribution], [tmp_path / "o.json"]), knows_the_truth)
    assert status == 2
    assert "is damaged" in shown


def one_then_quit() -> Person:
    answers = iter(["1\n", "q\n"])
    return lambda _question: next(answers)


def test_without_a_terminal_it_says_how_to_be_run_by_hand(distribution, tmp_path):
    argv = command([distribution], [tmp_path / "o.json"], max_examples=2)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no terminal" in done.stderr
    assert not (tmp_path / "o.json").exists()
    [by_hand] = re.findall(r"run it yourself in a terminal: python (.*)", done.stderr)
    argv = [sys.executable, *shlex.split(by_hand)]
    argv[argv.index("--output_paths") + 1] = str(tmp_path / "hand.json")
    assert talk(argv, knows_the_truth)[0] == 0
    assert read_evaluation(tmp_path / "hand.json")[0].eval_example_indices == [0, 0, 1, 1]
