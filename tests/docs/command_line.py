"""The page on the command line: what all commands share, then each command with its options."""

import inspect
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from cyclopts import App

from pilotage.central.cli.exit_codes import ExitCode
from pilotage.central.cli.main import COMMANDS, build
from pilotage.central.cli.options import CommonOptions

TEXT: Final = """
    `pilotage COMMAND --help` says what stands here. Where a person reads, results are tables and
    progress bars; in a pipe they are plain columns without progress. With `--json` each command
    prints one JSON document, or one on each line where there may be many. Errors and questions go
    to standard error; an error is one line that names what is wrong and what would be right.

    ## Where the central is

    URL: `--url`, else `PILOTAGE_URL`, else `url` in `~/.config/pilotage/credentials.json`, else the
    central that runs on the data directory (`--data`, else `PILOTAGE_DATA`, else
    `~/.local/share/pilotage`). Token: the file that `PILOTAGE_TOKEN_FILE` names (the token alone,
    or such a file as `credentials.json`), else `token` in `credentials.json`, else `admin.token` of
    the local central. `credentials.json` holds
    `{"url": …, "token": …}`; `pilotage token issue NAME --save FILE` writes such a file. A file
    with a token must be readable by its owner alone (0600), and a token that was found is sent only
    to the central that it was kept for. `PILOTAGE_CA_FILE` names the authority of a private
    certificate.

    ## Which jobs

    Ids are numbers and ranges: `12 20-29`. A filter is `--state`, `--submission`, and
    `--filter state=Waiting,owner=me,site=PIC`; all its clauses must hold, `state` and `id` may come
    several times, `owner=me` is oneself. What changes jobs by a filter needs `--all`, says how many
    jobs match and asks, unless `--yes` is there. Without a state, `kill` and `hold` mean jobs that
    have not ended, `release` those that are held, `reschedule` those that failed or were killed,
    `delete` those that have ended.

    ## What to submit

    `pilotage submit -- COMMAND ARGS…` submits what follows `--`, word by word; no shell looks at
    it. With `--array 100` or `--array 5-20` there is one job for each number, and `{index}` in the
    command, the environment and the outputs is that number (`{{` and `}}` stand for braces).

    A job file is YAML or JSON. It holds one job, a list of jobs, or one of

    ```yaml
    name: scan                # of the submission; `key` and `group` may stand here too
    template:
      command: [python3, simulate.py, --seed, "{seed}"]
      inputs: [simulate.py]   # paths beside this file; a folder travels as an archive
      outputs: ["events-{seed}.json"]
      needs: {cores_min: 1, memory_mb: 2000, wall_s: 3600}
    parameters:
      - seed: 1
      - seed: 2
    ```

    ```yaml
    jobs:
      - command: [echo, hello]
      - command: [hostname]
    ```

    The keys of a job are in [job-description.md](job-description.md). A file may be shorter than
    that page says: `needs` may be one mapping, an output a bare pattern, an input a path, and words
    of a command need no quotes. What is wrong is refused with its line and the nearest right word.
    In a file whose name ends in `.ndjson` each line is a job in JSON, for up to 10^6 of them.
"""

CODES: Final = {
    ExitCode.OK: "all is well",
    ExitCode.FAILED: "a job ended Failed or Killed, or a goal was missed",
    ExitCode.USAGE: "the command line, a job file or a credentials file is wrong",
    ExitCode.REFUSED: "the central said no; the message says why",
    ExitCode.NO_CONNECTION: "nobody answered, or not a central",
    ExitCode.TIMEOUT: "what was waited for did not happen in time",
    ExitCode.HELD: "what is still waited for is Held, and goes on only when somebody releases it",
    ExitCode.INTERRUPTED: "Ctrl-C",
}


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    yield inspect.cleandoc(TEXT) + "\n"
    rows = "".join(f"| {code.value} | {CODES[code]} |\n" for code in ExitCode)
    yield "## Exit codes\n\n| code | meaning |\n|---|---|\n" + rows
    yield "## Options of all commands that speak to a central\n\n" + _options(shared_app(), set())
    shared = {option.name for option in _arguments(shared_app())}
    root = build()
    for name, *_ in COMMANDS:
        yield from _command(root[name], f"pilotage {name}", shared)


def commands() -> list[str]:
    """Return every command with its verbs, as they are typed."""
    root, found = build(), list[str]()
    for name, *_ in COMMANDS:
        found += _typed(root[name], name)
    return found


def _typed(app: App, title: str) -> list[str]:
    """Return a command, or those that it is the first words of."""
    verbs = _verbs(app)
    own = [] if verbs and app.default_command is None else [title]
    return [*own, *(one for verb in verbs for one in _typed(app[verb], f"{title} {verb}"))]


def shared_app() -> App:
    """Return a command that has the shared options alone."""
    app = App(name="shared")

    @app.default
    def shared(*, common: CommonOptions | None = None) -> None: ...

    return app


def _command(app: App, title: str, shared: set[str]) -> Iterator[str]:
    verbs = _verbs(app)
    if not verbs or app.default_command is not None:
        text = inspect.cleandoc(inspect.getdoc(app.default_command) or "")
        yield f"## {title}\n\n{text}\n\n{_options(app, shared)}"
    for verb in verbs:
        yield from _command(app[verb], f"{title} {verb}", shared)


def _verbs(app: App) -> list[str]:
    return [name for name in app if not name.startswith("-")]


class _Option:
    def __init__(self, name: str, kind: str, default: str, help: str) -> None:
        self.name, self.kind, self.default, self.help = name, kind, default, help


def _options(app: App, left_out: set[str]) -> str:
    rows = [
        f"| `{one.name}` | {one.kind} | {one.default} | {one.help} |\n"
        for one in _arguments(app)
        if one.name not in left_out
    ]
    if not rows:
        return ""
    return "| option | type | default | |\n|---|---|---|---|\n" + "".join(rows)


def _arguments(app: App) -> Iterator[_Option]:
    for argument in app.assemble_argument_collection():
        if not argument.parse or not argument.show:
            continue
        names = [name for name in argument.names if name.startswith("-")]
        default = argument.field_info.default
        # A flag that is off has no other word worth knowing.
        left_out = {
            name
            for name in names
            if name.startswith("--no-") and f"--{name[5:]}" in names and default is not True
        }
        shown = [n for n in names if not n.startswith("--empty-") and n not in left_out]
        kind = _kind(argument.hint)
        if kind == "number" and any(name.endswith("-s") for name in shown):
            kind = "seconds"
        yield _Option(
            ", ".join(sorted(shown, key=len)) or argument.name.lstrip("-").upper(),
            kind,
            "required" if argument.required else _shown(default),
            argument.parameter.help or "",
        )


def _shown(default: Any) -> str:
    if isinstance(default, Enum):
        return str(default.value)
    plain = isinstance(default, (str, int, float)) and not isinstance(default, bool)
    return str(default) if plain and default != "" else ""


def _kind(hint: Any) -> str:
    """Return an annotation as people read it."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _kind(next(one for one in get_args(hint) if one is not type(None)))
    if origin is tuple:
        return _kind(get_args(hint)[0]) + " …"
    if origin is Literal:
        return ", ".join(map(str, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " or ".join(str(one.value) for one in hint)
    names: dict[Any, str] = {str: "text", int: "number", float: "number", bool: "", Path: "path"}
    return names[hint]
