"""The branch tables in Chinese: all their words are translated, no number changes."""

from __future__ import annotations

import re

import pytest

from gholm_kit.reproduction import verdicts
from gholm_kit.reproduction.chinese import HEADINGS, in_chinese
from gholm_kit.reproduction.outputs import DOCUMENT_COLUMNS, filled_in
from gholm_kit.table import NOT_RUN, Interval, Table

CELLS = [
    NOT_RUN,
    *(verdicts.word(agreement, real) for agreement in (-1, 0, 1, None) for real in (True, False)),
    "unstable: 1 of 3 runs at chance",
    "unstable: runs from 41 to 88 %",
    "diverged (1 of 3 seeds)",
    "+6.5 (+4.2 to +8.8)",
    "−0.4 (−4.4 to +3.7)",
    Interval(78.8, 84.3),
]


def said(cell: object) -> str:
    return in_chinese(Table("t", "", [{"verdict": cell}])).rows[0]["结论"]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_no_english_word_is_left_and_every_number_is_kept(cell):
    assert not re.search(r"[A-Za-z]", said(cell))
    assert sorted(re.findall(r"[−+]?\d+", said(cell))) == sorted(re.findall(r"[−+]?\d+", str(cell)))


def test_different_verdicts_stay_different():
    words = {verdicts.word(agreement, real) for agreement in (-1, 0, 1, None) for real in (True, False)}
    assert len({said(word) for word in words}) == len(words)


def test_the_columns_of_table_2_have_chinese_headings():
    assert set(DOCUMENT_COLUMNS["table_2"]) <= set(HEADINGS)
    assert len(set(HEADINGS.values())) == len(HEADINGS)


def test_names_and_numbers_stay_as_they_are():
    row = {
        "branches": "Raw + Crop",
        "seeds": 3,
        "paper": "91.4 (+0.8)",
        "own best": "88.2 ± 1.0",
        "verdict": None,
    }
    assert list(in_chinese(Table("t", "", [row])).rows[0].values()) == list(row.values())


def test_an_unknown_heading_is_an_error_that_says_where_to_add_it():
    with pytest.raises(ValueError, match=r"t has the columns colour, which.*add them to HEADINGS"):
        in_chinese(Table("t", "", [{"colour": 1}]))


def test_a_chinese_document_gets_the_chinese_table():
    columns = dict.fromkeys(DOCUMENT_COLUMNS["table_2"], 1)
    text = filled_in(
        "<!-- table: table_2 --><!-- end -->", {"table_2": Table("table_2", "", [columns])}, "zh-CN"
    )
    assert "| 分支 | 随机种子数 | 论文 |" in text
