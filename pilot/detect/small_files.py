"""Small files and values of a node, which may be missing or invalid."""

import math
import os
import re
import stat
from pathlib import Path

READ_MAX = 4 << 20  # bytes; longer files are not what detection looks for
_WHOLE = re.compile(r"\s*([0-9]{1,19})(?![0-9])")
_DECIMAL = re.compile(r"\s*([0-9]{1,15}(?:[.][0-9]{0,9})?)(?![0-9])")
_SIZE = re.compile(r"\s*([0-9]{1,15}(?:[.][0-9]{0,9})?)\s*([kmgtpKMGTP]?)(?:i?[bB](?:ytes)?)?\s*$")
_CLOCK = re.compile(r"\s*(?:([0-9]{1,5})-)?([0-9]{1,9}(?::[0-9]{1,9}){0,2})\s*$")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_POWERS = " kmgtp"


def text(path: Path, size_max: int = READ_MAX) -> str:
    """Return the content of a file; empty if it is missing or not readable.

    Pipes and devices are not read, because they could block.
    """
    return data(path, size_max).decode("utf-8", errors="replace")


def data(path: Path, size_max: int = READ_MAX) -> bytes:
    """Return the bytes of an ordinary file, at most `size_max`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return b""
        chunks: list[bytes] = []
        left = size_max
        while left > 0 and (chunk := os.read(handle, min(left, 1 << 20))):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    except OSError:
        return b""
    finally:
        os.close(handle)


def number(word: str) -> int:
    """Return the whole number at the start of `word`; 0 if there is none."""
    found = _WHOLE.match(word)
    return int(found.group(1)) if found else 0


def decimal(word: str) -> float:
    """Return the number at the start of `word`; 0 if there is none."""
    found = _DECIMAL.match(word)
    return float(found.group(1)) if found else 0.0


def count(ranges: str) -> int:
    """Return how many numbers a list of ranges has, as in `0-3,8`; 0 if it is invalid."""
    total = 0
    for part in ranges.strip().split(","):
        low, dash, high = part.strip().partition("-")
        first, last = _WHOLE.fullmatch(low), _WHOLE.fullmatch(high if dash else low)
        if not first or not last:
            return 0
        total += max(0, int(last.group(1)) - int(first.group(1)) + 1)
    return total


def size_bytes(word: str, thousand: int = 1024) -> int:
    """Return the bytes of `4gb`, `2G` or `512`; 0 if it is not a size.

    `thousand` is the value of a `k`.
    """
    found = _SIZE.match(word)
    if not found:
        return 0
    return int(float(found.group(1)) * thousand ** _POWERS.index(found.group(2).lower() or " "))


def seconds(word: str) -> float:
    """Return a duration in seconds: `days-h:m:s`, `h:m:s`, `m:s`, `s`; NaN if it is invalid.

    After days, the next part is hours: `1-12` and `1-12:30`.
    """
    found = _CLOCK.match(word)
    if not found:
        return math.nan
    parts = [float(part) for part in found.group(2).split(":")]
    if found.group(1) is not None:
        parts = [*parts, 0.0, 0.0][:3]
    total = 0.0
    for part in parts:
        total = total * 60 + part
    return total + 86_400.0 * float(found.group(1) or 0)


def plain(word: str, longest: int = 128) -> str:
    """Return `word` on one line, without characters that messages forbid, and shortened."""
    return " ".join(_UNPRINTABLE.sub(" ", word).split())[:longest].strip()
