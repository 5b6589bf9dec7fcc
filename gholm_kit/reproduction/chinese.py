"""The branch tables in Chinese, for README.zh-CN.md: the same numbers under Chinese headings."""

from __future__ import annotations

import re
from typing import Any

from gholm_kit.reproduction import verdicts
from gholm_kit.table import NOT_RUN, Table

HEADINGS = {
    "branches": "分支",
    "seeds": "随机种子数",
    "paper": "论文",
    "own best": "各自最优设置",
    "95 % interval": "95 % 置信区间",
    "difference to the row above": "与上一行之差",
    "verdict": "结论",
    "one recipe": "统一设置",
    "one recipe suggests": "统一设置下的结论",
}
# What cells say in words, as patterns; \1 and \2 are numbers.
PHRASES = {
    rf"{NOT_RUN}": "未运行",
    rf"{verdicts.REPRODUCED}": "已复现",
    rf"{verdicts.CONTRADICTED}": "与论文矛盾",
    rf"{verdicts.SAME}": "方向一致",
    rf"{verdicts.OPPOSITE}": "方向相反",
    rf"{verdicts.UNCLEAR}": "无法区分",
    r"unstable: (\d+) of (\d+) runs at chance": r"不稳定：\1/\2 次运行停在随机水平",
    r"unstable: runs from (\d+) to (\d+) %": r"不稳定：各次运行在 \1 至 \2 % 之间",
    r"diverged \((\d+) of (\d+) seeds\)": r"发散（\1/\2 个随机种子）",
    r"(\d) to ([+−]?\d)": r"\1 至 \2",
}


def in_chinese(table: Table) -> Table:
    """A branch table with Chinese headings and words.

    Raises:
        ValueError: a heading has no Chinese one yet.
    """
    unknown = [column for column in table.columns if column not in HEADINGS]
    if unknown:
        raise ValueError(
            f"{table.name} has the columns {', '.join(unknown)}, which have no Chinese heading; "
            "add them to HEADINGS in gholm_kit/reproduction/chinese.py"
        )
    rows = [{HEADINGS[column]: _said(cell) for column, cell in row.items()} for row in table.rows]
    return Table(table.name, table.title, rows, table.notes)


def _said(cell: Any) -> Any:
    if cell is None or isinstance(cell, (int, float)):
        return cell
    text = str(cell)
    for english, chinese in PHRASES.items():
        text = re.sub(english, chinese, text)
    return text
