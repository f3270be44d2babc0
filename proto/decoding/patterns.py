"""Patterns that a whole text must match, line ends included."""


def whole(pattern: str) -> str:
    r"""Return a pattern that matches all of a text or nothing.

    To Python `$` also stands before a line end that comes last, and JSON Schema knows no `\Z`.
    This form means the same to both.
    """
    return rf"^{pattern}$(?!\n)"


_SITE = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
SITE_OR_ELEMENT = whole(f"{_SITE}(/{_SITE})?")
