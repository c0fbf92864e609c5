import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genies.data.shifts import Shift, folders
from genies.errors import InputError
from genies.names import MAX_NAME_BYTES, check_distinct, check_length, check_name, shortened
from tests.support.project import Project


def test_a_bad_name_is_told_with_what_it_was_to_name() -> None:
    with pytest.raises(InputError, match="--model_dir: expected the name of a model, one folder name, got 'a/b'"):
        check_name("a/b", "--model_dir", "a model")
    with pytest.raises(InputError, match="only invisible characters"):
        check_name("\u200b\ufeff", "shift file")


SAME = [
    ("math", "Math"),
    ("straße", "STRASSE"),
    ("räven", unicodedata.normalize("NFD", "räven")),
    ("math", "ma\u200bth"),
    ("math", "math\ufe0f"),
    ("math", "\u202emath"),
    ("math", "math\u00ad"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_nobody_can_tell_apart_are_refused(tmp_path, one, other) -> None:
    with pytest.raises(InputError, match="differ only in case") as caught:
        folders([Shift("a", one), Shift(other, "b")], tmp_path)
    assert str(caught.value).isascii()  # what is invisible is spelt out


def test_names_that_differ_and_names_that_stand_twice_are_taken() -> None:
    check_distinct(["math", "math", "maths", "m\u00e4th", "math_", "\u043c\u0430th"], "the distributions")


@given(st.text(), st.integers(0, 20))
def test_a_shortened_name_is_the_beginning_of_the_name_and_fits(name, most) -> None:
    short = shortened(name, most)
    assert len(short.encode()) <= most
    assert name.startswith(short)
    assert len(short.encode()) > most - 4 or short == name


def test_room_for_what_is_added_to_a_name_is_kept() -> None:
    check_length("é" * 120, 15, "the model")
    with pytest.raises(InputError, match=r"the model would be called .* 242 bytes; expected at most 240"):
        check_length("é" * 121, 15, "the model")


def test_the_longest_names_that_are_taken_run_and_longer_ones_are_refused_at_the_start(project: Project) -> None:
    def study(length: int) -> tuple[int, str]:
        name = "ö" * (length // 2) + "x" * (length % 2)
        project.distribution(name, [True] * 3, [True] * 3)
        project.shifts([(name, "long")])
        ended = project.metrics(target_tuned_capability_intervention=project.length)
        return ended.returncode, ended.stderr

    longest = MAX_NAME_BYTES - len("base-") - len("-0123456789abcdef")
    assert study(longest)[0] == 0
    logs = project.logs()
    status, said = study(longest + 1)
    assert (status, said.count("\n")) == (2, 1)
    assert "the model, by the names of base model and source, would be called 'base-" in said
    assert project.logs() == logs


def test_names_of_letters_of_four_bytes_have_locks_too(project: Project) -> None:
    name = "𝔞" * 57  # 228 bytes
    project.distribution(name, [True] * 3, [True] * 3)
    project.shifts([(name, "long")])
    ended = project.metrics()
    assert ended.returncode == 0, ended.stderr
