"""The page on the command line: what commands share, then each command with its own options."""

import inspect
import re
import types
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from cyclopts import App, Argument

from pilotage.central.cli.exit_codes import ExitCode
from pilotage.central.cli.jobs.job_options import JobOptions
from pilotage.central.cli.jobs.selection import JobSelection
from pilotage.central.cli.main import COMMANDS, build
from pilotage.central.cli.options import CommonOptions
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

TEXT: Final = """
    On a terminal, results are tables and progress bars. In a pipe they are plain columns without
    progress. With `--json` a command prints one JSON document, or one a line for long lists. Errors
    and questions go to standard error. An error is one line: what is wrong, and what to do.

    Headings show the arguments of a command: `[NAME]` is optional, and `NAME…` can be repeated, as
    can an option with "…". Capitals stand for a value; `--limit=50` shows the default. The options
    of the next section work with all commands that talk to a central.
"""

CONNECTION: Final = """
    The command looks for the URL in this order:

    1. `--url`, else `PILOTAGE_URL`;
    2. `url` in `~/.config/pilotage/credentials.json`;
    3. the central that runs on the data directory: `--data`, else `PILOTAGE_DATA`, else
       `~/.local/share/pilotage`.

    It looks for the token in this order:

    1. the file that `PILOTAGE_TOKEN_FILE` names: the token alone, or a file such as
       `credentials.json`;
    2. `token` in `credentials.json`;
    3. `admin.token` of the local central.

    `credentials.json` holds `{"url": …, "token": …}`. `pilotage token issue NAME --save FILE`
    writes such a file. Only its owner may be able to read it (0600). A token goes only to the
    central that it was saved for. `PILOTAGE_CA_FILE` names the authority of a private certificate.
"""

FILTER: Final = """
    Many commands take jobs as ids and ranges (`12 20-29`) or as a filter:
"""

FILTER_RULES: Final = """
    All clauses of a filter must hold. `state` and `id` may come several times; `owner=me` means
    your own jobs.

    `kill`, `hold`, `release`, `reschedule` and `delete` also take these options:
"""

STEERING_RULES: Final = """
    With a filter they need `--all`: they say how many jobs match and ask you, unless you add
    `--yes`. Without a state they take these jobs:

    - `kill` and `hold`: jobs that have not ended;
    - `release`: held jobs;
    - `reschedule`: failed and killed jobs;
    - `delete`: jobs that have ended.
"""

JOB_FILES: Final = """
    `pilotage submit -- COMMAND ARGS…` submits the words after `--` as they are, without a shell.
    With `--array 100` or `--array 5-20` it submits one job for each number. `{index}` in the
    command, the environment and the outputs becomes that number; write `{{` and `}}` for braces.

    A job file is YAML or JSON. It holds one job, a list of jobs, or one of these:

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

    [Job description](job-description.md) lists the keys of a job. Short forms work in files:
    `needs` may be one mapping, an output a pattern, an input a path, and words of a command need no
    quotes. A mistake is refused with its line and the nearest right word. In a file whose name ends
    in `.ndjson` each line is a job in JSON, for up to 10^6 jobs.
"""

# Enums that have a page of their own.
TIMES: Final = 3  # that verbs have an option until it stands above them
_STATES: Final[dict[type[Enum], str]] = {
    ProductionState: "production-states.md",
    TransformationState: "transformation-states.md#transformations",
    TaskState: "transformation-states.md#their-tasks",
    InputState: "transformation-states.md#their-inputs",
}
CODES: Final = {
    ExitCode.OK: "success",
    ExitCode.FAILED: "a job ended Failed or Killed, or a goal was missed",
    ExitCode.USAGE: "the command line, a job file or a credentials file is wrong",
    ExitCode.REFUSED: "the central refused the request; the message says why",
    ExitCode.NO_CONNECTION: "no central answered",
    ExitCode.TIMEOUT: "the timeout passed first",
    ExitCode.HELD: "all remaining jobs are Held, until a person releases them",
    ExitCode.INTERRUPTED: "Ctrl-C",
}


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    root = build()
    yield inspect.cleandoc(TEXT) + "\n"
    for title in dict.fromkeys(group for _, _, group, _ in COMMANDS):
        names = (
            f"[{name}](#{_anchor(_titled(root[name], name))})"
            for name, _, group, _ in COMMANDS
            if group == title
        )
        yield f"- {title}: " + ", ".join(names)
    shared = _of_all(CommonOptions)
    yield f"\n## Where the central is\n\n{_list(shared)}\n{inspect.cleandoc(CONNECTION)}\n"
    jobs = _of_all(JobSelection)
    steering = [
        one for one in _options(root["kill"]) if one not in (*shared, *jobs) and not one.argument
    ]
    yield f"## Which jobs\n\n{inspect.cleandoc(FILTER)}\n\n{_list(jobs)}\n"
    yield f"{inspect.cleandoc(FILTER_RULES)}\n\n{_list(steering)}\n"
    yield inspect.cleandoc(STEERING_RULES) + "\n"
    yield f"## What to submit\n\n{inspect.cleandoc(JOB_FILES)}\n"
    job = _of_all(JobOptions)
    yield f"## Options of a job\n\nFor `submit` and `explain`.\n\n{_list(job)}"
    rows = "".join(f"- {code.value}: {CODES[code]}\n" for code in ExitCode)
    yield "## Exit codes\n\n" + rows
    elsewhere = (
        Shared(shared, ""),
        Shared(jobs, "[options about jobs](#which-jobs)"),
        Shared(steering, "[options about jobs](#which-jobs)"),
        Shared(job, "[options of a job](#options-of-a-job)"),
    )
    for name, *_ in COMMANDS:
        yield from _command(root[name], name, elsewhere)


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


def _command(app: App, title: str, elsewhere: "Sequence[Shared]") -> Iterator[str]:
    """Yield the sections of a command and its verbs; `elsewhere` has options said before, and
    links to them."""
    if not _verbs(app) or app.default_command is not None:
        yield _section("##", app, title, elsewhere, ())
    else:
        yield f"## {title}\n\n{app.help}\n"
    verbs = [verb for verb in _typed(app, "") if verb]
    often = _often([one for verb in verbs for one in _own(_leaf(app, verb), elsewhere)])
    if often:
        yield f"Several of these commands share:\n\n{_list(often)}"
    for verb in verbs:
        yield _section("###", _leaf(app, verb), f"{title} {verb.strip()}", elsewhere, often)


def _own(app: App, elsewhere: "Sequence[Shared]") -> list["Option"]:
    """Return the options of a command that no section before has."""
    options = _options(app)
    said = {option for one in elsewhere if one.of(options) for option in one.options}
    return [one for one in options if one not in said]


def _leaf(app: App, words: str) -> App:
    for word in words.split():
        app = app[word]
    return app


def _often(options: list["Option"]) -> list["Option"]:
    """Return the options that so many verbs of a command have alike."""
    return [one for one, times in Counter(options).items() if times >= TIMES and one.help]


def _section(
    level: str,
    app: App,
    title: str,
    elsewhere: "Sequence[Shared]",
    often: Container["Option"],
) -> str:
    options = _options(app)
    text = inspect.cleandoc(inspect.getdoc(app.default_command) or "")
    text = re.sub(r"^pilotage .+$", r"`\g<0>`", text, flags=re.MULTILINE)
    own = [one for one in _own(app, elsewhere) if one not in often and one.help]
    also = [f"`{one.typed.split('=')[0]}`" for one in options if one in often and not one.argument]
    also += dict.fromkeys(one.link for one in elsewhere if one.link and one.of(options))
    parts = [f"{level} {_titled(app, title)}", text]
    if own:
        parts.append(_list(own).rstrip("\n"))
    if also:
        parts.append(f"Also {', '.join(also)}.")
    return "\n\n".join(parts) + "\n"


def _titled(app: App, title: str) -> str:
    """Return a command as a heading has it, with its arguments."""
    if app.default_command is None or "\n\n    pilotage " in (app.default_command.__doc__ or ""):
        return title  # its text shows how it is typed
    typed = [
        one.typed if one.required else f"[{one.typed}]" for one in _options(app) if one.argument
    ]
    return f"{title} `{' '.join(typed)}`" if typed else title


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _verbs(app: App) -> list[str]:
    return [name for name in app if not name.startswith("-")]


class Option(NamedTuple):
    """An option, or an argument, as a person types it."""

    typed: str
    help: str
    choices: str
    required: bool
    argument: bool  # it has no name of its own on the command line


class Shared(NamedTuple):
    """Options that several commands have, and a link to their section."""

    options: list[Option]
    link: str

    def of(self, options: list[Option]) -> bool:
        """Whether a command has all of these."""
        return set(self.options) <= set(options)


def _list(options: list[Option]) -> str:
    """Return a line for each option."""
    lines: list[str] = []
    for one in options:
        facts = [one.choices, "required" if one.required and not one.argument else ""]
        said = "; ".join(fact for fact in facts if fact)
        help = one.help.removesuffix(" Repeatable.")  # its "…" says it
        lines.append(f"- `{one.typed}`{f' ({said})' if said else ''}: {help}\n")
    return "".join(lines)


def _of_all(options: type) -> list[Option]:
    """Return the options of a class that several commands have."""
    app = App(name="shared")

    def shared(*, given: Any = None) -> None: ...

    shared.__annotations__["given"] = options | None
    app.default(shared)
    return _options(app)


def _options(app: App) -> list[Option]:
    return [_option(one) for one in app.assemble_argument_collection() if one.parse and one.show]


def _option(argument: Argument) -> Option:
    names = [name for name in argument.names if name.startswith("-")]
    default = argument.field_info.default
    # A flag that is off has no other word worth knowing.
    left_out = {
        name
        for name in names
        if name.startswith("--no-") and f"--{name[5:]}" in names and default is not True
    }
    shown = [n for n in names if not n.startswith("--empty-") and n not in left_out]
    kind, choices = _kind(argument.hint)
    name = ", ".join(sorted(shown, key=len)) or argument.name.lstrip("-").upper()
    help = argument.parameter.help or ""
    if not shown and kind.endswith("…"):
        name += "…"
    said = "default" in help or not argument.required and _shown(default) in ("", "0", "0.0")
    value = kind if said or argument.required else _shown(default)
    return Option(
        typed=f"{name}={value or kind}" if shown and kind else name,
        help=help,
        choices=choices,
        required=bool(argument.required),
        argument=not shown,
    )


def _shown(default: Any) -> str:
    if isinstance(default, Enum):
        return str(default.value)
    plain = isinstance(default, (str, int, float)) and not isinstance(default, bool)
    return f"{default:g}" if isinstance(default, float) else str(default) if plain else ""


def _kind(hint: Any) -> tuple[str, str]:
    """Return the word for a value of this type, and the values if they are few."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _kind(next(one for one in get_args(hint) if one is not type(None)))
    if origin is tuple:
        kind, choices = _kind(get_args(hint)[0])
        return kind + "…", choices
    if origin is Literal:
        return "WORD" if isinstance(get_args(hint)[0], str) else "N", _either(get_args(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        page = _STATES.get(hint)
        return "WORD", f"[states]({page})" if page else _either([one.value for one in hint])
    names: dict[Any, str] = {str: "TEXT", int: "N", float: "N", bool: "", Path: "PATH"}
    return names[hint], ""


def _either(words: Sequence[Any]) -> str:
    return ", ".join(map(str, words))
