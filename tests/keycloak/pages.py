"""The blocks of the documentation's pages, with the names of this trial in place of the examples'.

The trial runs what the pages say. So a page that is wrong fails it.
"""

import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page, language):
    """Returns the blocks of a page that are written in one language."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```$"
    found = re.findall(pattern, (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no block of {language}"
    return [textwrap.dedent(block) for _, block in found]


def filled(text, names):
    """Replaces the names of the examples. Each of them must be there."""
    for example, name in names.items():
        assert example in text, f"`{example}` is not in:\n{text}"
        text = text.replace(example, name)
    return text
