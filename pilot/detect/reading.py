"""Small files of a node, where absence is an ordinary answer."""

from pathlib import Path


def text(path: Path) -> str:
    """Return what the file holds, empty where it is not there or not ours to read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""


def number(word: str) -> int:
    """Return the whole number at the start of `word`, 0 where there is none."""
    first = word.strip().split(" ")[0].split("(")[0]
    return int(first) if first.isdigit() else 0
