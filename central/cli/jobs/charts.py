"""Charts of numbers over time, drawn with characters. Pure."""

from collections.abc import Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_LEVELS = len(_BLOCKS) - 1


def columns(points: Sequence[tuple[float, float]], width: int, end: float) -> list[float]:
    """Return the highest value in each of `width` equal parts of the time from 0 to `end`.

    A part without a point repeats the value before it.
    """
    found: list[float | None] = [None] * width
    for at, value in points:
        place = min(width - 1, max(0, int(at / end * width))) if end > 0 else width - 1
        before = found[place]
        found[place] = value if before is None else max(before, value)
    filled, last = list[float](), 0.0
    for one in found:
        last = last if one is None else one
        filled.append(last)
    return filled


def bars(values: Sequence[float], height: int, top: float) -> list[str]:
    """Return `height` lines of blocks, from top to bottom. A value of `top` fills all of them."""
    eighths = [round(value / top * height * _LEVELS) if top > 0 else 0 for value in values]
    return [
        "".join(_BLOCKS[min(_LEVELS, max(0, one - row * _LEVELS))] for one in eighths).rstrip()
        for row in reversed(range(height))
    ]
