"""Walk through a page as its reader would: type the commands, write the files, compare.

What a fenced block is says its first line:

    ```console          lines `$ command`, each with what it prints
    ```python           run, block after block in one session; a ```text block behind it says what
                        it prints
    ```yaml NAME        the content of the file NAME; so with ```python NAME
    ```sh               for the reader alone

`…` stands for anything, on a line of its own for any lines, and columns may be wider than on the
page. A command that ends in `&` goes on running; the walk goes on when it has said what the page
says. A command that only reads is typed again until it says that: on a busy machine a reader would
look again, too. A line `# exit code N` behind a command is its exit code, 0 where there is none.
"""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.services.warm import command_folder

from . import python_session

BLOCK: Final = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Commands that change nothing.
READS: Final = re.compile(
    r"^pilotage (?:(?:pilot|prod|transformation|site|data|token) (?:list|show|elements|find|tasks|"
    r"files|explain)|summary|status|logs|failures|explain|whoami|notify(?! -))\b[^|;&<>]*$"
)
CODE: Final = re.compile(r"^# exit code (\d+)$")
BASH_MARK: Final = "--- end of command"
START_S: Final = 60.0
AGAIN_S: Final = 60.0  # how long a command that reads is typed again, and how often
AGAIN_EVERY_S: Final = 0.3
STOP_S: Final = 20.0
PATIENCE_S: Final = 300.0  # with a command that does not end
LOOK_S: Final = 0.5
PART_BYTES: Final = 65_536


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    name: str
    text: str
    line: int


@dataclass
class Command:
    """A command of a console block, and what its page says of it."""

    text: str
    line: int
    prints: list[str] = field(default_factory=list[str])
    code: int = 0


class Differs(AssertionError):
    """A page says something else than what happens."""

    def __init__(self, page: Path, line: int, what: str, said: Sequence[str], found: str) -> None:
        expected = "\n".join(said)
        super().__init__(f"{page.name}:{line}: {what}\n--- page\n{expected}\n--- found\n{found}")


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in BLOCK.finditer(text):
        kind, name, body = found.groups()
        yield Block(kind, name or "", body, text.count("\n", 0, found.start()) + 2)


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block."""
    found: list[Command] = []
    for at, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append(Command(line[2:], at))
        elif code := CODE.match(line):
            found[-1].code = int(code[1])
        else:
            found[-1].prints.append(line)
    return found


def agrees(said: Sequence[str], found: str) -> bool:
    """Say whether what was found is what the page says."""
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else _plain(line) + r"\n" for line in said
    )
    lines = "".join(_squeezed(line) + "\n" for line in found.splitlines())
    return re.fullmatch(pattern, lines) is not None


def _plain(line: str) -> str:
    return r"[^\n]*".join(re.escape(part) for part in _squeezed(line).split("…"))


def _squeezed(line: str) -> str:
    return " ".join(line.split())


class Walk:
    """The shell and the Python of a reader, in a folder of their own."""

    def __init__(
        self,
        page: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._page, self._folder, self._patience_s = page, folder, patience_s
        self._environment = {**reader_environment(folder), **(environment or {})}
        self._blocks = 0
        self._background = 0
        self._shell = self._start(["bash", "--norc", "--noprofile"])
        self._python: Session | None = None
        self._stop_s = 0.0  # for what should end by itself, once the page is at its end

    def go(self, before: str = "", after: str = "") -> None:
        """Walk through the page. Raises Differs at the first line that is not true.

        `before` and `after` are text of the same form, typed by somebody else, such as the
        operator who starts the central that the page uses.
        """
        for text in (before, self._page.read_text(encoding="utf-8"), after):
            self._go_through(text)
        self._stop_s = STOP_S

    def _go_through(self, text: str) -> None:
        found = list(blocks(text))
        for at, block in enumerate(found):
            if block.name:
                (self._folder / block.name).write_text(block.text, encoding="utf-8")
            elif block.kind == "console":
                for command in commands(block):
                    self._type(command)
            elif block.kind == "python":
                behind = found[at + 1] if at + 1 < len(found) else None
                said = behind.text if behind is not None and behind.kind == "text" else ""
                self._run(block, said.splitlines())

    def close(self) -> list[str]:
        """End everything; return what was still running, which is nothing on a good page."""
        sessions = [one for one in (self._shell, self._python) if one is not None]
        for one in sessions:
            one.close()
        until = time.monotonic() + self._stop_s
        numbers = {one.number for one in sessions}
        while (left := _living(self._folder, numbers)) and time.monotonic() < until:
            time.sleep(0.05)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return list(left.values())

    def _type(self, command: Command) -> None:
        if command.text.endswith("&"):
            self._leave_running(command)
            return
        until = time.monotonic() + AGAIN_S
        code, printed = self._bash(command.text, command.line)
        while not self._is_as_told(command, code, printed) and time.monotonic() < until:
            if not READS.match(command.text):
                break
            time.sleep(AGAIN_EVERY_S)
            code, printed = self._bash(command.text, command.line)
        if code != command.code:
            what = f"`{command.text}` ends with {code}, not {command.code}"
            raise Differs(self._page, command.line, what, command.prints, printed)
        if not agrees(command.prints, printed):
            what = f"`{command.text}` prints something else"
            raise Differs(self._page, command.line, what, command.prints, printed)

    @staticmethod
    def _is_as_told(command: Command, code: int, printed: str) -> bool:
        return code == command.code and agrees(command.prints, printed)

    def _leave_running(self, command: Command) -> None:
        """Start it and go on once it has said the first that the page says of it."""
        self._background += 1
        log = self._folder / f"background-{self._background}"
        self._bash(f"{command.text[:-1]} > {log.name} 2>&1 &", command.line)
        until = time.monotonic() + START_S
        while not agrees([*command.prints, "…"], log.read_text() if log.exists() else ""):
            if time.monotonic() > until:
                what = f"`{command.text}` does not say this in {START_S:.0f} s"
                raise Differs(self._page, command.line, what, command.prints, log.read_text())
            time.sleep(0.02)

    def _bash(self, text: str, line: int) -> tuple[int, str]:
        """Have a line carried out by the shell that has seen all lines before it."""
        (self._folder / ".command").write_text(text + "\n", encoding="utf-8")
        says = f""". ./.command < /dev/null; code=$?; echo; echo "{BASH_MARK} $code" """
        printed = self._said(self._shell, says, BASH_MARK, line)
        text, _, last = printed.rpartition("\n" + BASH_MARK)
        return int(last), text

    def _run(self, block: Block, said: list[str]) -> None:
        self._blocks += 1
        module = f"page_block_{self._blocks}"
        before = f"from page_block_{self._blocks - 1} import *\n" if self._blocks > 1 else ""
        (self._folder / f"{module}.py").write_text(before + block.text, encoding="utf-8")
        if self._python is None:
            self._python = self._start([sys.executable, "-u", python_session.__file__])
        printed = self._said(self._python, module, python_session.MARK, block.line)
        text, mark, _ = printed.rpartition(python_session.MARK)
        if not mark or not agrees(said, text):
            raise Differs(self._page, block.line, "this prints something else", said, printed)

    def _said(self, session: "Session", says: str, mark: str, line: int) -> str:
        found, ends = session.say(says, mark, self._patience_s)
        if not ends:
            what = f"this has not ended in {self._patience_s:.0f} s"
            raise Differs(self._page, line, what, [], found)
        return found

    def _start(self, argv: Sequence[str]) -> "Session":
        return Session(argv, self._folder, self._environment)


class Session:
    """A program that is told lines and answers them, and all that it starts."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._asked, self._answers = self._process.stdin, self._process.stdout
        self._poll = select.poll()  # `select` takes no descriptor above 1 023
        self._poll.register(self._answers, select.POLLIN)
        self._heard = b""  # the beginning of a line

    @property
    def number(self) -> int:
        """What names the session to the system."""
        return self._process.pid

    def say(self, line: str, mark: str, within_s: float) -> tuple[str, bool]:
        """Say a line; return what comes back, up to and with the line of the mark.

        And whether it has come to an end: to the mark, or because nobody is left who could say
        more. One that waits is no reason to wait for, nor is one that holds the pipe open.
        """
        with suppress(BrokenPipeError):
            self._asked.write(line.encode() + b"\n")
        until = time.monotonic() + within_s
        lines: list[str] = []
        while time.monotonic() < until:
            first, newline, rest = self._heard.partition(b"\n")
            if newline:
                self._heard = rest
                lines.append(first.decode(errors="replace"))
                if lines[-1].startswith(mark):
                    return "\n".join(lines), True
                continue
            if not self._poll.poll(LOOK_S * 1_000):
                continue
            part = os.read(self._answers.fileno(), PART_BYTES)
            self._heard += part
            if not part:
                return "\n".join([*lines, self._heard.decode(errors="replace")]), True
        return "\n".join(lines), False

    def close(self) -> None:
        """End the program; what it has started is for others to end."""
        self._process.kill()
        self._process.wait()
        self._asked.close()
        self._answers.close()


def reader_environment(folder: Path) -> Mapping[str, str]:
    """Return the environment of somebody who has nothing yet, and a home in `folder`."""
    (folder / "tmp").mkdir()
    folders = [one for one in (command_folder(), Path(sys.executable).parent) if one is not None]
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PATH": ":".join([*map(str, folders), os.environ["PATH"]]),
        "LANG": "C.UTF-8",
        "PILOTAGE_HTTP__PORT": "0",  # the usual one may be taken on the machine of a developer
    }


def _living(folder: Path, sessions: Container[int]) -> dict[int, str]:
    """Return the processes whose home is `folder`, or that are of some sessions, with their
    command lines."""
    mark = b"\0HOME=" + bytes(folder) + b"\0"
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words == [b""]:
                continue  # it has ended, and nobody has asked for its code
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            if session in sessions or mark in b"\0" + (entry / "environ").read_bytes():
                found[int(entry.name)] = b" ".join(words).decode(errors="replace")
        except OSError:
            continue  # it has ended, or is another user's
    return found
