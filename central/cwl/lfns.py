"""Names of files in the catalogue as CWL documents write them: `lfn:/a/b` or `lfn:SCOPE:a/b`."""

import re
from typing import Final

_LFN: Final = re.compile("lfn:", re.IGNORECASE)
_SCOPED: Final = re.compile(r"[^/:]+:[^/:].*")


def is_lfn(text: str) -> bool:
    """Return whether a text is a name in the catalogue."""
    return _LFN.match(text) is not None


def name_of(lfn: str) -> str:
    """Return SCOPE:NAME, or /NAME if it has no scope: the central knows that.

    Raises ValueError for other forms.
    """
    rest = _LFN.sub("", lfn, count=1)
    if not is_lfn(lfn) or not rest.strip("/"):
        raise ValueError("expected lfn:/a/b or lfn:SCOPE:a/b")
    name = rest.lstrip("/")
    if "//" in name:
        raise ValueError("expected no // in the name")
    return name if rest == name and _SCOPED.fullmatch(name) else f"/{name}"


def with_scope(name: str, scope: str) -> str:
    """Return a name of `name_of` as SCOPE:NAME."""
    return f"{scope}:{name[1:]}" if name.startswith("/") else name
