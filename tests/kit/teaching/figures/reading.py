"""What a figure says, for the tests of this folder."""

from matplotlib.figure import Figure
from matplotlib.text import Text


def words(fig: Figure) -> str:
    """All text of a figure."""
    return " ".join(t.get_text() for t in fig.findobj(Text))
