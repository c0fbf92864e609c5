import io
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from genies.terminal import Screen, without_controls

CODES = "\x1b]0;title\x07 \x1b]52;c;eA==\x07 \x1b[2A\x9b1A\x08\x7f \u202eabc\u2066 \u2028"


def test_no_control_code_is_left_and_every_one_can_be_read() -> None:
    shown = without_controls(CODES)
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.startswith(r"\x1b]0;title\x07 \x1b]52;c;eA==\x07 \x1b[2A\x9b1A\x08\x7f \u202eabc")


@given(st.text())
def test_what_is_left_holds_no_control_character_but_white_space_and_letters_stay(text) -> None:
    shown = without_controls(text)
    assert all(unicodedata.category(each) not in ("Cc", "Cs", "Zl", "Zp") or each in "\t\r\n" for each in shown)
    letters = [each for each in text if unicodedata.category(each)[0] in "LNMS" and not each.isascii()]
    assert [each for each in shown if each in letters] == letters
    assert without_controls(shown) == shown


def test_a_screen_writes_the_text_of_a_progress_bar_and_escapes_the_rest() -> None:
    file = io.BytesIO()
    screen = Screen(io.TextIOWrapper(file, encoding="ascii"))
    print("\r 1/2 räven", CODES[:4], "\udcff", end="", file=screen, flush=True)
    assert file.getvalue() == rb"\r 1/2 r\xe4ven \x1b]0; \udcff".replace(rb"\r 1", b"\r 1")
