"""The attributes of a description, and their values as texts, lists and numbers."""

import re
from collections.abc import Sequence
from typing import Final

from pilotage.proto.decoding.complaints import short
from pilotage.proto.decoding.nearest_words import unknown

from .errors import Mistakes
from .grammar import Attribute, Items, JdlValue, Word
from .parametric import Sequences, is_sequence, sequences_of

KNOWN: Final = (
    *("Executable", "Arguments", "StdOutput", "StdError", "InputSandbox", "OutputSandbox"),
    *("InputData", "InputDataPolicy", "InputDataModule", "OutputData", "OutputSE", "OutputPath"),
    *("JobName", "JobGroup", "JobType", "Site", "BannedSites", "GridCE", "Platform", "CPUTime"),
    *("Priority", "NumberOfProcessors", "MinNumberOfProcessors", "MaxNumberOfProcessors"),
    *("WholeNode", "MinRAM", "MaxRAM", "Tags", "Tag", "ExecutionEnvironment", "Pilotage"),
)
WITHOUT_EFFECT: Final = (
    *("LogLevel", "JobConfigArgs", "ExtraOptions", "SoftwareDistModule", "JobPath"),
    *("DisableDataScheduling", "StopSigRegex", "StopSigStartSeconds", "StopSigFinishSeconds"),
    *("StopSigNumber", "VirtualOrganization", "Owner", "OwnerGroup", "JobRequirements"),
)
SEQUENCES: Final = ("Parameters", "ParameterStart", "ParameterStep", "ParameterFactor")
_CANONICAL: Final = {name.lower(): name for name in (*KNOWN, *WITHOUT_EFFECT)}
ID: Final = "%j"  # the id of the job, in all texts
_WORD: Final = re.compile("[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_DIGITS: Final = re.compile("[0-9]{1,12}")


class Attributes:
    """The attributes of a description by name; those of one of its jobs at a time."""

    def __init__(self, found: Sequence[Attribute], mistakes: Mistakes) -> None:
        self.mistakes = mistakes
        self._given: dict[str, Attribute] = {}
        self.without_effect: list[str] = []
        for one in found:
            self._take(one)
        before = mistakes.count
        self.sequences: Sequences = sequences_of(found, mistakes)
        self.has_wrong_sequences = mistakes.count > before
        self._number = 0
        self._filled: dict[str, JdlValue] = {}
        self._varying = frozenset(
            name for name, one in self._given.items() if self.sequences.has_place(one.value)
        )

    def _take(self, one: Attribute) -> None:
        lower = one.name.lower()
        name = lower if is_sequence(one.name) else _CANONICAL.get(lower, "")
        if not name:
            known = (*KNOWN, *WITHOUT_EFFECT, *SEQUENCES)
            self.mistakes.add(one.at, unknown(one.name, known, what="attribute"))
        elif name in self._given:
            first = self.mistakes.place(self._given[name].at)
            self.mistakes.add(one.at, f"{short(one.name)} is given twice: first at {first}")
        elif name in WITHOUT_EFFECT:
            self.without_effect.append(name)
        else:
            self._given[name] = one

    def go_to(self, number: int) -> None:
        """Show the attributes of job `number` of a parametric description, from 0 on."""
        self._number = number
        self._filled.clear()

    def varies(self, names: Sequence[str]) -> bool:
        """Return whether one of these attributes differs from job to job."""
        return not self._varying.isdisjoint(names)

    def has(self, name: str) -> bool:
        """Return whether the description has this attribute."""
        return name in self._given

    def place(self, name: str) -> int:
        """Return the place of an attribute; of the beginning, if there is none."""
        return self._given[name].at if name in self._given else 0

    def wrong(self, name: str, message: str, at: int | None = None) -> None:
        """Note a mistake in an attribute."""
        self.mistakes.add(self.place(name) if at is None else at, f"{name}: {message}")

    def _value(self, name: str) -> JdlValue | None:
        one = self._given.get(name)
        if one is None or name not in self._varying:
            return None if one is None else one.value
        if name not in self._filled:
            fill = self.sequences.fill
            self._filled[name] = fill(one.value, self._number, self.mistakes)
        return self._filled[name]

    def text(self, name: str, default: str = "") -> str:
        """Return the value of an attribute that has one text."""
        value = self._value(name)
        if value is None:
            return default
        if isinstance(value, Word):
            return value.text.strip()
        self.wrong(name, f'found a {_kind(value)}, expected a text: {name} = "…"', value.at)
        return default

    def items(self, name: str) -> list[tuple[str, int]]:
        """Return the texts of a list with their places. A text with commas is a list too."""
        value = self._value(name)
        if value is None:
            return []
        if isinstance(value, Word):
            parts = [part.strip() for part in value.text.split(",")]
            return [(part, value.at) for part in parts if part]
        if not isinstance(value, Items):
            self.wrong(name, 'found a section, expected a list: {"a", "b"}', value.at)
            return []
        found: list[tuple[str, int]] = []
        for one in value.items:
            if not isinstance(one, Word):
                self.wrong(name, f"found a {_kind(one)} in the list, expected a text", one.at)
            elif one.text.strip():
                found.append((one.text.strip(), one.at))
        return found

    def words(self, name: str) -> tuple[str, ...]:
        """Return the words of a list, such as names of sites, each once."""
        found: dict[str, None] = {}
        for text, at in self.items(name):
            if _WORD.fullmatch(text):
                found[text] = None
            else:
                why = f"found {short(text)!r}, expected only letters, digits and . _ : / @ + -"
                self.wrong(name, why, at)
        return tuple(found)

    def word(self, name: str, default: str = "") -> str:
        """Return the one word of an attribute."""
        text = self.text(name, default)
        if text and not _WORD.fullmatch(text):
            why = f"found {short(text)!r}, expected only letters, digits and . _ : / @ + -"
            self.wrong(name, why)
            return default
        return text

    def number(self, name: str, least: int, most: int, default: int = 0) -> int:
        """Return a whole number. It may be written as a text."""
        if not self.has(name):
            return default
        text = self.text(name)
        if _DIGITS.fullmatch(text) and least <= int(text) <= most:
            return int(text)
        self.wrong(name, f"found {short(text)!r}, expected a whole number from {least} to {most}")
        return default

    def flag(self, name: str) -> bool:
        """Return a truth value."""
        text = self.text(name, "false").lower()
        if text not in ("true", "false"):
            self.wrong(name, f"found {short(text)!r}, expected true or false")
        return text == "true"


def _kind(value: JdlValue) -> str:
    if isinstance(value, Word):
        return "text"
    return "list" if isinstance(value, Items) else "section"
