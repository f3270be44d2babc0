"""Nodes on paper: text files that hold what a node shows to the pilot, and what it should find.

A file begins with words for people. Then come sections, each under a line `== KIND NAME`:

    architecture, host, now      one line each: as uname says, and the seconds since 1970
    env                          NAME=value
    file PATH                    the content of a file
    tool PATH                    a command that could be run
    run ARGV                     what a command prints; what is not listed prints nothing
    run look PATHS               as `run`, of the command that looks into CVMFS repositories
    folder PATH, shared PATH     a folder for us alone, one for all
    free                         path and free bytes, with a tab between them
    found                        capability | value | source
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pilotage.pilot.detect.surroundings import Surroundings

FOLDER: Final = Path(__file__).parent
NAMES: Final = sorted(path.stem for path in FOLDER.glob("*.node"))


class Printing:
    """Commands that print the same whatever they are, or each time the next of several texts."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)

    def __call__(self, argv: Sequence[str]) -> str:
        return self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]


@dataclass
class Recorded:
    """One node as it was written down."""

    words: str
    one_line: dict[str, str] = field(default_factory=dict[str, str])
    environ: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, str] = field(default_factory=dict[str, str])
    tools: list[str] = field(default_factory=list[str])
    folders: dict[str, int] = field(default_factory=dict[str, int])
    printed: dict[str, str] = field(default_factory=dict[str, str])
    free: dict[str, int] = field(default_factory=dict[str, int])
    found: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def surroundings(self, root: Path) -> Surroundings:
        """Lay the node's files below `root` and return what surrounds a pilot on it."""
        for name, mode in self.folders.items():
            (root / name.lstrip("/")).mkdir(parents=True, exist_ok=True)
            (root / name.lstrip("/")).chmod(mode)
        for name, content in self.files.items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode(errors="surrogateescape"))
        for name in self.tools:
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
            path.chmod(0o755)
        return Surroundings(
            root=root,
            environ=self.environ,
            run=self.run,
            architecture=self.one_line.get("architecture", ""),
            host=self.one_line.get("host", ""),
            now=lambda: float(self.one_line.get("now", "0")),
            free_bytes=lambda path: self.free.get("/" + str(path.relative_to(root))),
        )

    def run(self, argv: Sequence[str]) -> str:
        """Return what a command printed when the node was written down."""
        words = ["look", *argv[4:]] if argv[0] == "/bin/sh" else list(argv)
        return self.printed.get(" ".join(words), "")


def load(name: str) -> Recorded:
    """Return a node of this folder."""
    return parse((FOLDER / f"{name}.node").read_text())


def parse(written: str) -> Recorded:
    """Return the node of a text."""
    words, *sections = f"\n{written}".split("\n== ")
    node = Recorded(words.strip())
    for section in sections:
        title, _, body = section.partition("\n")
        kind, _, name = title.partition(" ")
        lines = body.splitlines()
        if kind in ("architecture", "host", "now"):
            node.one_line[kind] = body.strip()
        elif kind == "env":
            for line in lines:
                variable, _, value = line.partition("=")
                node.environ[variable] = value
        elif kind == "file":
            node.files[name] = body + "\n"
        elif kind == "run":
            node.printed[name] = body + "\n"
        elif kind == "tool":
            node.tools.append(name)
        elif kind in ("folder", "shared"):
            node.folders[name] = 0o700 if kind == "folder" else 0o777
        elif kind == "free":
            node.free.update(
                {path: int(size) for path, _, size in (x.partition("\t") for x in lines)}
            )
        else:
            assert kind == "found", f"no such kind of section: {kind}"
            columns = [[part.strip() for part in line.split("|")] for line in lines if line.strip()]
            node.found += [(row[0], row[1], row[2]) for row in columns]
    return node
