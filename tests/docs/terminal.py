"""Pictures of a terminal: the commands and outputs of a page that the tests run, as SVG."""

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from tests.tidy import tree

LINE_PX: Final = 20
CHARACTER_PX: Final = 8.4  # of a monospace font of 14 px
MARGIN_PX: Final = 18
BAR_PX: Final = 34
COLUMNS_MIN: Final = 60
_CONSOLE: Final = re.compile(r"```console\n(.*?)```", re.DOTALL)
_STYLE: Final = (
    "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d7dae0;"
    "white-space:pre}.prompt{fill:#7fd17f}.typed{fill:#fff;font-weight:600}"
)


def picture(page: str, *commands: str) -> str:
    """Return commands of a page of `docs/` and what they print as an SVG picture.

    A command is given by its first words. Raises ValueError if the page has no such command.
    """
    lines = [line for command in commands for line in _lines(page, f"$ pilotage {command}")]
    columns = max(COLUMNS_MIN, *(len(line) for line in lines))
    width = round(columns * CHARACTER_PX + 2 * MARGIN_PX)
    height = len(lines) * LINE_PX + BAR_PX + MARGIN_PX
    shown = "\n".join(
        f'<text x="{MARGIN_PX}" y="{BAR_PX + LINE_PX * number}">{_text(line)}</text>'
        for number, line in enumerate(lines, start=1)
    )
    dots = "".join(
        f'<circle cx="{MARGIN_PX + 18 * number}" cy="17" r="5.5" fill="{colour}"/>'
        for number, colour in enumerate(("#ec6a5e", "#f4bf4f", "#61c554"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'role="img" aria-label="A terminal with commands of this page">\n'
        f"<style>{_STYLE}</style>\n"
        f'<rect width="{width}" height="{height}" rx="9" fill="#1f2430"/>{dots}\n{shown}\n</svg>\n'
    )


def _lines(page: str, command: str) -> Iterator[str]:
    """Yield a command's line and its output, up to the next command."""
    shown = "\n".join(_CONSOLE.findall(tree.text(f"docs/{page}"))).splitlines()
    start = next((at for at, line in enumerate(shown) if line.startswith(command)), None)
    if start is None:
        raise ValueError(f"docs/{page}: expected the command {command!r}")
    yield shown[start]
    for line in shown[start + 1 :]:
        if line.startswith(("$ ", "# exit code")) or not line:
            return
        yield line


def _text(line: str) -> str:
    if line.startswith("$ "):
        typed = escape(line[2:], quote=False)
        return f'<tspan class="prompt">$ </tspan><tspan class="typed">{typed}</tspan>'
    return escape(line, quote=False)
