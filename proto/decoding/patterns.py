"""Patterns that the whole text must match, line ends included."""


def whole(pattern: str) -> str:
    r"""Return a pattern that matches either all of a text or nothing.

    In Python `$` also matches before a line end at the end of the text, and JSON Schema has no
    `\Z`. The returned form means the same in both.
    """
    return rf"^{pattern}$(?!\n)"


_SITE = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
SITE_OR_ELEMENT = whole(f"{_SITE}(/{_SITE})?")
