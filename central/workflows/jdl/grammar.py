"""The grammar of JDL, a small part of the ClassAd language, as DIRAC 9.1 reads it.

    jdl   := ["["] { name "=" value ";" } ["]"]    the brackets and the last ";" may be missing
    value := "text" | number | true | false | bare | "{" [ value { "," value } ] "}" | "[" jdl "]"

DIRAC's reader cuts texts at `;`, drops blanks in items of lists, and takes a missing `;` as a part
of the value. This one does none of that. A line that begins with `#` is dropped first of all.
"""

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from pilotage.proto.decoding.complaints import short

from .errors import BadJdl, Mistakes

BYTES_MAX: Final = 8_000_000
DEPTH_MAX: Final = 16  # values inside each other

_LINE_COMMENT: Final = re.compile(r"^#[^\n]*", re.MULTILINE)
_GAP: Final = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)?")
_NAMES_NEXT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\s*=")
_TEXT_OR_END: Final = re.compile(r'[";]')
_BARE: Final = re.compile(r'[^\s;,{}\[\]"=]+')
_BARE_ITEM: Final = re.compile(r'[^\s;,{}\[\]"]+')  # in a list: A=B


@dataclass(frozen=True)
class Word:
    """A text in quotes, or a bare word such as a number; `at` is its first character."""

    text: str
    at: int
    quoted: bool = False


@dataclass(frozen=True)
class Items:
    """A list in braces."""

    items: tuple["JdlValue", ...]
    at: int


@dataclass(frozen=True)
class Section:
    """Attributes in brackets, as the value of an attribute."""

    attributes: tuple["Attribute", ...]
    at: int


JdlValue = Word | Items | Section


@dataclass(frozen=True)
class Attribute:
    """One attribute as it is written."""

    name: str
    value: JdlValue
    at: int  # the first character of its name


def parse(text: str, mistakes: Mistakes) -> tuple[Attribute, ...]:
    """Return the attributes of a description. Raises BadJdl if it is too large.

    All other mistakes are added to `mistakes`; the attributes without one are returned.
    """
    if len(text.encode(errors="surrogatepass")) > BYTES_MAX:
        raise BadJdl([f"{mistakes.where}: has more than {BYTES_MAX} bytes"])
    return _Parser(text, mistakes).whole()


class _Broken(Exception):
    """The value at hand cannot be read further; its mistake is noted."""


class _Parser:
    def __init__(self, text: str, mistakes: Mistakes) -> None:
        # Same length, so that places stay right.
        self._text = _LINE_COMMENT.sub(lambda line: " " * len(line[0]), text)
        self._at, self._mistakes = 0, mistakes

    def whole(self) -> tuple[Attribute, ...]:
        self._skip()
        start = self._at
        opened = start if self._takes("[") else None
        found = self._attributes("]" if opened is not None else "", 0)
        if opened is not None and not self._takes("]"):
            self._mistakes.add(opened, "'[' has no ']': add it at the end")
        self._takes(";")
        if self._at < len(self._text):
            after = self._here()
            self._mistakes.add(self._at, f"found {after} after the end: one file has one job")
        return found

    def _attributes(self, end: str, depth: int) -> tuple[Attribute, ...]:
        found: list[Attribute] = []
        while self._at < len(self._text):
            if end and self._text[self._at] == end:
                break
            if self._takes(";"):
                continue
            try:
                found.append(self._attribute(end, depth))
            except _Broken:
                if depth:
                    raise
                self._move(self._next_attribute(end))
        return tuple(found)

    def _attribute(self, end: str, depth: int) -> Attribute:
        at, named = self._at, _NAME.match(self._text, self._at)
        if named is None:
            self._wrong(f"found {self._here()}, expected the name of an attribute, as in JobName")
        name = named[0]
        self._move(named.end())
        if not self._takes("="):
            self._wrong(f"found {self._here()} after {short(name)}, expected '='")
        if self._at >= len(self._text) or self._text[self._at] in {";", end}:
            self._wrong(f'{short(name)} has no value: write "" for an empty text', at=at)
        value = self._value(depth)
        if self._at < len(self._text) and not self._takes(";") and self._text[self._at] != end:
            why = f"found {self._here()} after the value of {short(name)}, expected ';'"
            self._mistakes.add(self._at, why)
            if not _NAMES_NEXT.match(self._text, self._at):
                raise _Broken
        return Attribute(name, value, at)

    def _value(self, depth: int, *, item: bool = False) -> JdlValue:
        if depth >= DEPTH_MAX:
            self._wrong(f"found more than {DEPTH_MAX} lists and sections inside each other")
        at, first = self._at, self._text[self._at : self._at + 1]
        if first == "{":
            return self._items(depth)
        if first == "[":
            self._takes("[")
            inside = self._attributes("]", depth + 1)
            if not self._takes("]"):
                self._wrong("'[' has no ']'", at=at)
            return Section(inside, at)
        if first == '"':
            end = self._end_of_text(at)
            if end < 0:
                self._wrong("the text has no end: add '\"'", at=at)
            self._move(end + 1)
            return Word(self._text[at + 1 : end].replace('\\"', '"'), at, quoted=True)
        bare = (_BARE_ITEM if item else _BARE).match(self._text, self._at)
        if bare is None:
            self._wrong(f"found {self._here()}, expected a value")
        self._move(bare.end())
        return Word(bare[0], at)

    def _items(self, depth: int) -> Items:
        at = self._at
        self._takes("{")
        items: list[JdlValue] = []
        while not self._takes("}"):
            if self._at >= len(self._text):
                self._wrong("'{' has no '}'", at=at)
            items.append(self._value(depth + 1, item=True))
            if not self._takes(",") and self._text[self._at : self._at + 1] not in ("}", ""):
                self._wrong(f"found {self._here()} in a list, expected ',' or '}}'")
        return Items(tuple(items), at)

    def _end_of_text(self, at: int) -> int:
        """Return the place of the quote that ends the text from `at` on; -1: there is none.

        `\\"` is a quote in the text. Every other backslash stands for itself, as in DIRAC.
        """
        end = self._text.find('"', at + 1)
        while end >= 0 and self._text[end - 1] == "\\":
            end = self._text.find('"', end + 1)
        return end

    def _takes(self, sign: str) -> bool:
        """Return whether this sign comes next, and go on behind it."""
        if not self._text.startswith(sign, self._at):
            return False
        self._move(self._at + 1)
        return True

    def _move(self, at: int) -> None:
        self._at = at
        self._skip()

    def _skip(self) -> None:
        gap = _GAP.match(self._text, self._at)
        assert gap is not None, "an empty gap matches too"
        self._at = gap.end()

    def _here(self) -> str:
        """Return what comes next, for a message."""
        if self._at >= len(self._text):
            return "the end"
        word = _BARE.match(self._text, self._at)
        return repr(short(word[0]) if word is not None else self._text[self._at])

    def _next_attribute(self, end: str) -> int:
        """Return where reading goes on after a mistake: behind the next `;` that is in no text."""
        at = self._at
        while (found := _TEXT_OR_END.search(self._text, at)) is not None:
            if found[0] == ";":
                return found.end()
            ends = self._end_of_text(found.start())
            at = ends + 1 if ends >= 0 else found.end()
        left = self._text.rstrip()
        is_closed = end and left.endswith(end) and len(left) > self._at
        return len(left) - 1 if is_closed else len(self._text)

    def _wrong(self, message: str, *, at: int | None = None) -> NoReturn:
        self._mistakes.add(self._at if at is None else at, message)
        raise _Broken
