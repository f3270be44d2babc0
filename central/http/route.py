"""What one route is."""

import re
from dataclasses import dataclass
from typing import Any

from ..identity.policy import Action
from .answers import JSON
from .call import Handler
from .hot import Hot


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path. Exactly one of `handler` and `hot` answers it."""

    method: str
    path: str  # `{name}` stands for one part, `{name:path}` for all that is left
    action: Action
    does: str
    handler: Handler | None = None
    hot: Hot | None = None
    query: type[Any] | None = None
    takes: type[Any] | None = None
    gives: type[Any] | None = None
    takes_media: tuple[str, ...] = (JSON,)
    gives_media: str = JSON
    creates: bool = False  # what people store by it; refused where the disk is nearly full

    def fits(self, path: str) -> bool:
        """Say whether `path` is one of this route's."""
        return re.fullmatch(_pattern(self.path), path) is not None


def _pattern(path: str) -> str:
    parts = re.split(r"(\{\w+(?::path)?\})", path)
    return "".join(
        (".+" if part.endswith(":path}") else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in parts
    )
