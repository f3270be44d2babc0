"""Patterns of group names in the map of a provider's file: `/ctao/{group}`. Pure.

A placeholder stands for one name: one or more characters without `/`, `:` and `#`. The rest is
compared letter by letter. So `/ctao/{group}` matches `/ctao/prod`, but neither `/ctao` nor
`/ctao/prod/mc`.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

PLACEHOLDERS_MAX: Final = 4
SEPARATORS: Final = "/:#"
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_NAME: Final = re.compile(r"[a-z][a-z_]{0,31}")


class BadPattern(ValueError):
    """The pattern is wrong. The message gives the right form."""


class GroupPattern(NamedTuple):
    """A pattern with placeholders."""

    prefix: str  # the letters before the first placeholder
    names: tuple[str, ...]  # of the placeholders
    form: re.Pattern[str]

    def values(self, group: str) -> dict[str, str] | None:
        """Return the values of the placeholders, or None if the group does not match."""
        found = self.form.fullmatch(group)
        return None if found is None else found.groupdict()


def parsed(text: str) -> GroupPattern | None:
    """Return the pattern, or None if the text has no placeholder. Raises BadPattern.

    A separator must stand between two placeholders. So each value has one meaning, and a match
    takes time in proportion to the length of the group.
    """
    names = placeholders(text)
    if not names:
        return None
    literals = _PLACEHOLDER.split(text)[::2]
    if len(names) > PLACEHOLDERS_MAX:
        raise BadPattern(f"{text!r} has more than {PLACEHOLDERS_MAX} placeholders")
    if len(set(names)) < len(names):
        raise BadPattern(f"{text!r} has a placeholder twice: give each its own name")
    if any(not set(SEPARATORS) & set(between) for between in literals[1:-1]):
        right = "put one of / : # between two placeholders, as in /{community}/{group}"
        raise BadPattern(f"{text!r} leaves open where a placeholder ends: {right}")
    form = re.escape(literals[0])
    for name, literal in zip(names, literals[1:], strict=True):
        form += f"(?P<{name}>[^{SEPARATORS}]+){re.escape(literal)}"
    return GroupPattern(literals[0], names, re.compile(form))


def placeholders(text: str) -> tuple[str, ...]:
    """Return the names of the placeholders in a text. Raises BadPattern."""
    names = tuple(_PLACEHOLDER.findall(text))
    rest = _PLACEHOLDER.sub("", text)
    for name in names:
        if not _NAME.fullmatch(name):
            right = "use small letters, as in {group}"
            raise BadPattern(f"{text!r} has the placeholder {{{name}}}: {right}")
    if "{" in rest or "}" in rest:
        raise BadPattern(f"{text!r} has a brace without its partner: a placeholder is {{group}}")
    return names


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return the template with the values in place of its placeholders."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)
