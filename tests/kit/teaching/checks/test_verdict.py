"""A check ends in a box: its state, its text, its hints one by one, and colours that anyone can read."""

import re

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gholm_kit.teaching import checks
from gholm_kit.teaching.checks import verdict


@verdict.hints("think", "think again", "it is 4")
def four(answer):
    """``answer()`` → 4"""
    if answer() != 4:
        raise checks.NotYet("that is not 4")
    return "Right. Four it is."


@pytest.fixture(autouse=True)
def _no_attempts():
    verdict._attempts.clear()


def test_right_says_so_and_what_follows():
    found = checks.run(four, lambda: 4)
    assert (found.state, found.message, found.hints) == ("right", "Four it is.", ())


def test_each_further_run_shows_one_hint_more():
    shown = [checks.run(four, lambda: 5) for _ in range(5)]
    assert [found.hints for found in shown] == [
        (),
        ("think",),
        ("think", "think again"),
        ("think", "think again", "it is 4"),
        ("think", "think again", "it is 4"),
    ]
    assert [found.more for found in shown] == [3, 2, 1, 0, 0]
    assert "Run the check again for a hint." in repr(shown[0])
    assert "the last hint" in repr(shown[2])
    assert "Run the check again" not in repr(shown[3])


def test_a_right_answer_starts_the_hints_anew():
    checks.run(four, lambda: 5)
    checks.run(four, lambda: 4)
    assert checks.run(four, lambda: 5).hints == ()


def test_a_check_has_at_most_three_hints():
    with pytest.raises(ValueError, match="one to three hints, not 4"):
        verdict.hints("a", "b", "c", "d")


def test_a_stub_shows_its_hint():
    def stub():
        raise checks.Unsolved("count to four")

    found = checks.run(four, stub)
    assert (found.state, found.message) == ("not yet", "This exercise is still to be solved: count to four.")


def test_a_hint_that_asks_ends_in_its_question_mark():
    def stub():
        raise checks.Unsolved("what is two and two?")

    assert checks.run(four, stub).message.endswith("two and two?")


def test_an_error_in_the_answer_is_told_with_its_line():
    def broken():
        return 1 + "3"

    found = checks.run(four, broken)
    assert found.state == "cannot be run"
    assert found.message.startswith(
        'Line 2 of your function, `return 1 + "3"`, ends with TypeError: unsupported'
    )


def test_an_answer_of_another_kind_is_described():
    assert "asks for a function; your answer is 4." in checks.run(four, 4).message
    assert "the check cannot use it (TypeError" in checks.run(four, "3".join).message


def test_a_function_with_other_parameters_is_told():
    assert "missing 1 required positional argument" in checks.run(four, lambda x: 4).message


def test_the_rest_of_a_chapter_uses_a_right_answer_else_the_solution():
    def mine():
        return 4

    def solution():
        return 4

    assert checks.yours_if_right(four, mine, solution) is mine
    assert checks.yours_if_right(four, lambda: 5, solution) is solution


@pytest.mark.parametrize("error", [checks.NotYet("that is not 4"), checks.Unsolved("count to four")])
def test_a_notebook_shows_one_sentence_instead_of_a_traceback(error, capsys):
    shell = InteractiveShell.instance()
    shell.push({"error": error})
    shell.run_cell("raise error")
    printed = "".join(capsys.readouterr())
    assert str(error) in printed
    assert len(printed.strip().splitlines()) == 1


def test_text_is_escaped_and_code_is_marked():
    found = verdict.Verdict("not yet", "use `a < b` and *not* 2 * 3 * 4 <b>")
    box = found._repr_html_()
    assert ">a &lt; b</code>" in box
    assert "<em>not</em> 2 * 3 * 4 &lt;b&gt;" in box


@pytest.mark.parametrize("state", verdict.STATES)
def test_a_box_is_read_without_its_colours(state):
    found = verdict.Verdict(state, "because")
    sign, title, *_ = verdict.STATES[state]
    assert repr(found) == f"{sign} {title}. because"
    assert f"{sign} {title}." in re.sub("<[^>]+>", "", found._repr_html_())
    assert f'aria-label="Check: {title.lower()}"' in found._repr_html_()


def luminance(colour):
    """WCAG 2.2's relative luminance of #rrggbb."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    """WCAG 2.2's contrast ratio."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("state", verdict.STATES)
def test_the_box_has_contrast_on_light_and_dark_pages(state):
    _, _, text, ground, edge = verdict.STATES[state]
    assert contrast(text, ground) >= 7
    for page in ("#ffffff", "#111111"):  # JupyterLab's light and dark page
        assert contrast(edge, page) >= 3
