"""Finds sentences that a reader must translate.

`.venv/bin/python -m tests.tidy.prose [FILE|FOLDER …]` lists them.

Reads the Markdown pages, and the docstrings and comments of the product. A sentence counts once,
however many turns of phrase it has. Code blocks, tables' rulers and the changelog are left out.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from typing import Final, NamedTuple

from . import tree

TURNS: Final = re.compile(
    r"(?:^|[.:;,] )(?:Who|What|Whose|Of (?:which|what|whom|all|each|those|an?|several|these|such)|"
    r"Where (?:nobody|none|no|it|there)|Nor)\b(?![^.]*\?$)"
    r"|\b(?:of which|of whom|of what|of whose|than who|nobody|somebody|for ever|anew"
    r"|what (?:is|are|was|were|has|have|had|goes|comes|came|runs|ran|waits|stands|lies|belongs)"
    r"(?: not| no longer)?(?: gone| there| left| told| said)?"
    r"|who (?:leads|comes|has|asks|goes|waits)|whoever|whom"
    r"|(?:is|are|was|were|be) (?:told|gone)|says so|said so|one likes|in vain|meanwhile)\b"
)
WORDS_MAX: Final = 32
MESSAGE_WORDS_MIN: Final = 4
_FENCE: Final = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_PRODUCT: Final = tree.ROOMS
_SENTENCE: Final = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`*\[(])")


class Sentence(NamedTuple):
    name: str
    line: int
    text: str

    @property
    def turn(self) -> str | None:
        """The words that a reader must translate, or None."""
        found = TURNS.search(self.text)
        return found.group().strip() if found and len(self.text.split()) > 3 else None

    @property
    def long(self) -> bool:
        return len(self.text.split()) > WORDS_MAX


def of_pages(names: tuple[str, ...]) -> Iterator[Sentence]:
    """Yield the sentences of Markdown files, those of list items and table cells among them."""
    for name in names:
        for line, text in _blocks(without_code(name)):
            cells = text.strip("| ").split("|") if text.startswith("|") else [text]
            for cell in cells:
                yield from _sentences(name, line, cell)


def of_code(names: tuple[str, ...]) -> Iterator[Sentence]:
    """Yield the sentences of docstrings and of comments that stand together."""
    for name in names:
        for node in ast.walk(tree.tree(name)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield from _sentences(name, node.body[0].lineno, text)
        yield from _comments(name)


def of_messages(names: tuple[str, ...]) -> Iterator[Sentence]:
    """Yield the texts of four words or more that the product may show; `…` stands for values."""
    for name in names:
        whole = tree.tree(name)
        parts = {
            id(part)
            for node in ast.walk(whole)
            if isinstance(node, ast.JoinedStr | ast.Expr)
            for part in ast.iter_child_nodes(node)
        }
        for node in ast.walk(whole):
            text = ""
            if isinstance(node, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                )
            elif isinstance(node, ast.Constant) and id(node) not in parts:
                text = node.value if isinstance(node.value, str) else ""
            if len(text.split()) >= MESSAGE_WORDS_MIN:
                yield from _sentences(name, getattr(node, "lineno", 0), text)


def pages() -> tuple[str, ...]:
    return tuple(n for n in tree.files() if n.endswith(".md") and n != "CHANGELOG.md")


def paragraphs(name: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of the paragraphs and list items of a page, not those of its tables."""
    return ((line, text) for line, text in _blocks(without_code(name)) if text[0] != "|")


def without_code(name: str) -> str:
    """Return a page with empty lines in place of its code blocks."""
    return _FENCE.sub(lambda match: "\n" * match.group().count("\n"), tree.text(name))


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    block: list[str] = []
    begin = 0
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        stripped = line.strip()
        alone = stripped.startswith(("|", "#", "- ", "* ")) or re.match(r"\d+\. ", stripped)
        if block and (not stripped or alone):
            yield begin, " ".join(block)
            block = []
        if stripped and not re.fullmatch(r"[|:\- ]+", stripped):
            begin = begin if block else number
            block.append(stripped.lstrip("#-* ") if not stripped.startswith("|") else stripped)
        if block and stripped.endswith("\\"):  # a line break: the next line is an entry of its own
            yield begin, " ".join(block).rstrip("\\")
            block = []


def _comments(name: str) -> Iterator[Sentence]:
    block: list[str] = []
    begin = last = 0
    for token in tokenize.generate_tokens(io.StringIO(tree.text(name)).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 and block:
            yield from _sentences(name, begin, " ".join(block))
            block = []
        begin = begin if block else token.start[0]
        last = token.start[0]
        block.append(token.string.lstrip("#: "))
    if block:
        yield from _sentences(name, begin, " ".join(block))


def _sentences(name: str, line: int, text: str) -> Iterator[Sentence]:
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in _SENTENCE.split(" ".join(paragraph.split())):
            if sentence:
                yield Sentence(name, line, sentence)


def main(arguments: list[str]) -> None:
    """Print the sentences to rewrite, and their share of all sentences of each kind."""
    chosen = tuple(arguments) or ("",)
    modules = tuple(n for n in tree.modules(*_PRODUCT) if n.startswith(chosen))
    for kind, found in (
        ("pages", list(of_pages(tuple(n for n in pages() if n.startswith(chosen))))),
        ("code", list(of_code(modules))),
        ("messages", list(of_messages(modules))),
    ):
        turns = [sentence for sentence in found if sentence.turn]
        long = [sentence for sentence in found if sentence.long and not sentence.turn]
        for sentence in turns:
            print(f"{sentence.name}:{sentence.line}: [{sentence.turn}] {sentence.text}")
        for sentence in long:
            print(f"{sentence.name}:{sentence.line}: [long] {sentence.text}")
        if found:
            share = 100 * len(turns) / len(found)
            print(f"{kind}: {len(turns)} of {len(found)} ({share:.1f} %), {len(long)} long")


if __name__ == "__main__":
    main(sys.argv[1:])
