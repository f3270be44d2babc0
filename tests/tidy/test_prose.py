"""Plain English, short pages, and lines that fit: what can be counted of it."""

import re
from typing import Final

from . import prose, tree

TURNS_MAX: Final = 0.03
# 65 000 of release 0.1, 4 500 each on identity and data, 2 500 on users of DIRAC and CTADIRAC,
# 5 000 on daily work.
WORDS_OF_ALL_PAGES_MAX: Final = 83_500
WORDS_OF_A_PARAGRAPH_MAX: Final = 80
COLUMNS_MAX: Final = 100
LIST: Final = ".venv/bin/python -m tests.tidy.prose"


def test_few_sentences_of_the_pages_must_be_read_twice() -> None:
    sentences = list(prose.of_pages(prose.pages()))
    found = [sentence for sentence in sentences if sentence.turn]

    assert len(found) < TURNS_MAX * len(sentences), f"{LIST} docs lists them"


def test_few_sentences_of_the_code_must_be_read_twice() -> None:
    sentences = list(prose.of_code(tree.modules(*tree.ROOMS)))
    found = [sentence for sentence in sentences if sentence.turn]

    assert len(found) < TURNS_MAX * len(sentences), f"{LIST} lists them"


def test_few_messages_must_be_read_twice() -> None:
    sentences = list(prose.of_messages(tree.modules(*tree.ROOMS)))
    found = [sentence for sentence in sentences if sentence.turn]

    assert len(found) < TURNS_MAX * len(sentences), f"{LIST} lists them"


def test_the_pages_are_short() -> None:
    pages = [one for one in prose.pages() if one.startswith(("docs/", "README", "CONTRIBUTING"))]
    words = sum(len(re.sub(r"<!--.*?-->", "", tree.text(name)).split()) for name in pages)

    assert words <= WORDS_OF_ALL_PAGES_MAX


def test_no_paragraph_is_a_wall() -> None:
    found = [
        f"{name}:{line}: {len(text.split())} words"
        for name in prose.pages()
        for line, text in prose.paragraphs(name)
        if len(text.split()) > WORDS_OF_A_PARAGRAPH_MAX
    ]

    assert not found


def test_lines_of_the_pages_fit() -> None:
    found = [
        f"{name}:{number}: {len(line)} characters"
        for name in prose.pages()
        for number, line in enumerate(prose.without_code(name).splitlines(), start=1)
        if len(line) > COLUMNS_MAX and not _is_whole(line)
    ]

    assert not found


def _is_whole(line: str) -> bool:
    """Rows of tables, code, pictures and lines of one long word cannot be broken."""
    longest = max(map(len, line.split()))
    return line.startswith(("|", "    ", "![", "<!--")) or longest > COLUMNS_MAX / 2
