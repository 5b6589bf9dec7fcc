"""README.md and README.zh-CN.md say the same: section by section, paragraph by paragraph, number by number."""

from __future__ import annotations

import re

import pytest

from gholm_kit.reproduction.chinese import in_chinese
from gholm_kit.table import Table
from gholm_lib.paths import project_root

# The line below the title leads to the other language.
LINKED = {"README.md": "[中文](README.zh-CN.md)", "README.zh-CN.md": "[English](README.md)"}
TABLE = re.compile(r"<!-- table: (\w+) -->\n\n(.*?)\n\n<!-- end -->", re.S)


def read(name: str) -> str:
    return (project_root() / name).read_text(encoding="utf-8")


def sections(text: str) -> list[list[str]]:
    """The paragraphs of each section, its heading first; without the filled-in tables and the line of languages."""
    text = re.sub(r"^.*\]\(README(\.zh-CN)?\.md\).*\n\n", "", TABLE.sub(r"<!-- \1 -->", text), flags=re.M)
    return [part.strip().split("\n\n") for part in re.split(r"^#+ ", text, flags=re.M)[1:]]


def numbers(text: str) -> list[str]:
    """The numbers of a paragraph, sorted, as word order differs; not those in where links lead."""
    return sorted(re.findall(r"\d+(?:\.\d+)?", re.sub(r"\]\([^)]*\)", "]", text)))


def commands(text: str) -> list[str]:
    """The lines of code blocks without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]


ENGLISH, CHINESE = sections(read("README.md")), sections(read("README.zh-CN.md"))


def test_both_have_the_same_sections():
    assert len(ENGLISH) == len(CHINESE) >= 7


@pytest.mark.parametrize("place", range(len(ENGLISH)), ids=lambda place: ENGLISH[place][0].splitlines()[0])
def test_a_section_has_the_same_paragraphs_with_the_same_numbers(place):
    english, chinese = ENGLISH[place], CHINESE[place]
    assert len(english) == len(chinese), "one paragraph for one paragraph"
    for first, second in zip(english, chinese, strict=True):
        assert numbers(first) == numbers(second), f"{first}\n\n{second}"


def test_both_show_the_same_commands():
    assert commands(read("README.md")) == commands(read("README.zh-CN.md")) != []


def test_both_name_the_same_functions_for_the_same_equations():
    def rows(text: str) -> list[tuple[str, ...]]:
        return re.findall(r"^\| (?:\(.*\) )?[^|]*\| (`.*`) \| (\[.*\)) \|$", text, re.M)

    assert rows(read("README.md")) == rows(read("README.zh-CN.md"))
    assert len(rows(read("README.md"))) == 8


def test_the_chinese_tables_are_the_english_ones():
    english, chinese = (TABLE.findall(read(name)) for name in ("README.md", "README.zh-CN.md"))
    assert [name for name, _ in english] == [name for name, _ in chinese] != []
    for (name, first), (_, second) in zip(english, chinese, strict=True):
        head, _, *rows = ([c.strip() for c in line.strip("|").split("|")] for line in first.splitlines())
        table = Table(name, "", [dict(zip(head, row, strict=True)) for row in rows])
        assert in_chinese(table).markdown(heading=False) == second, "gholm reproduce --all --from-records"


@pytest.mark.parametrize(("name", "link"), LINKED.items(), ids=LINKED)
def test_the_other_language_is_linked_below_the_title(name, link):
    assert link in read(name).split("\n\n")[1]


def test_a_number_that_was_changed_in_one_language_is_seen():
    assert numbers("reaches 92.0 % ([x](a1.md))") == numbers("达到 92.0 %") != numbers("达到 92.1 %")
