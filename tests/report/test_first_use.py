"""A mapping that computes its values on first use."""

import pytest

from genies.report.first_use import OnFirstUse


def test_a_value_is_computed_once_and_only_if_it_is_used() -> None:
    computed: list[str] = []

    def double(name: str) -> str:
        computed.append(name)
        return name * 2

    found = OnFirstUse(["b", "a", "b", "c"], double)
    assert (list(found), len(found), "a" in found) == (["b", "a", "c"], 3, True)
    assert computed == ["a"]
    assert (found["a"], found["b"], found.get("d")) == ("aa", "bb", None)
    with pytest.raises(KeyError):
        found["d"]
    assert computed == ["a", "b"]
    assert found == {"b": "bb", "a": "aa", "c": "cc"}
