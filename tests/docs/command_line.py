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
from pilotage.central.factory.site_files.sites import NodesEntry, PilotEntry
from pilotage.proto.documents import job
from pilotage.proto.production_states import ProductionState
from pilotage.proto.quantities import short_name, unit_of
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from . import structs

TEXT: Final = """
    On a terminal, results are tables and progress bars; in a pipe they are plain columns. With
    `--json` a command prints one JSON document, or one a line for long lists. Errors and questions
    go to standard error.

    `[NAME]` is optional, and `NAME…` can be repeated. Capitals stand for a value; `--limit=50`
    shows the default. `SIZE` and `TIME` need [a unit](job-description.md#sizes-and-times):
    `--wall 2h`. A second name takes plain numbers: `--wall-s 7200`.
"""

CONNECTION: Final = """
    All commands that talk to a central have these options. The URL is the first of:

    1. `--url`;
    2. the central that runs on the data directory `--data`;
    3. `PILOTAGE_URL`;
    4. the central that runs on the data directory `PILOTAGE_DATA`;
    5. the central of the last `pilotage login`;
    6. `url` in `~/.config/pilotage/credentials.json`;
    7. the central that runs on `~/.local/share/pilotage`.

    The token is the first of:

    1. the file that `PILOTAGE_TOKEN_FILE` names: the token alone, or a file such as
       `credentials.json`;
    2. the login at this central, unless `--data` is given;
    3. `token` in `credentials.json`, unless `--data` is given;
    4. `admin.token` of the local central.

    `pilotage token issue NAME --save FILE` writes a file such as `credentials.json`:
    `{"url": …, "token": …}`. Only its owner may be able to read it (0600). A token goes only to the
    central that it was saved for. A command waits up to 20 s for a local central that is starting.
    `PILOTAGE_CA_FILE` names the authority of a private certificate.
"""

FILTER: Final = """
    Many commands take jobs as ids and ranges (`12 20-29`) or as a filter:
"""

FILTER_RULES: Final = """
    `state` and `id` may come several times; `owner=me` means your own jobs.

    `kill`, `hold`, `release`, `reschedule` and `delete` also take these options:
"""

STEERING_RULES: Final = """
    With a filter they need `--all`. They ask before they change more than one job, unless you add
    `--yes`. Without a state, `kill` and `hold` take jobs that have not ended, `release` held jobs,
    `reschedule` failed and killed jobs, and `delete` ended jobs.
"""

JOB_FILES: Final = """
    `pilotage submit -- COMMAND ARGS…` submits the words after `--` as they are, without a shell.
    With `--array 100` or `--array 5-20`, `{index}` in the command, the environment and the outputs
    becomes the number of the job; write `{{` and `}}` for braces.

    A job file is YAML or JSON. It holds one job, a list under `jobs:`, or a `template:` with
    `parameters:`, as in [a sweep](howto/sweep.md), and may have a `name`, `key` and `group`.
    [Job description](job-description.md) lists the keys of a job.

    Short forms work in files:
    `needs` may be one mapping, an output a pattern, an input a path beside the file, and words of a
    command need no quotes. In a file whose name ends in `.ndjson` each line is a job in JSON, for
    up to 10^6 jobs. Files of DIRAC are
    taken as [JDL](jdl.md).
"""

# Options that set keys of a file, which its page describes.
KEYS: Final[dict[str, tuple[str, Sequence[type]]]] = {
    "options of a job": (
        "[job description](job-description.md)",
        (job.Job, job.Need, job.Preference, job.JobLimits),
    ),
    "pilot start": ("[site files](site-files.md#pilotentry)", (PilotEntry, NodesEntry)),
}
LISTED_MAX: Final = 30  # options in one paragraph
ARGUMENT_WORDS_MAX: Final = 4
# Enums that have a page of their own.
TIMES: Final = 2  # that verbs have an option until it stands above them
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
    shared = _of_all(CommonOptions)
    where, _, order = inspect.cleandoc(CONNECTION).partition(" The URL")
    yield f"\n## Where the central is\n\n{where}\n\n{_list(shared)}\nThe URL{order}\n"
    jobs = _of_all(JobSelection)
    steering = [
        one for one in _options(root["kill"]) if one not in (*shared, *jobs) and not one.argument
    ]
    yield f"## Which jobs\n\n{inspect.cleandoc(FILTER)}\n\n{_list(jobs)}\n"
    yield f"{inspect.cleandoc(FILTER_RULES)}\n\n{_list(steering)}\n"
    yield inspect.cleandoc(STEERING_RULES) + "\n"
    yield f"## What to submit\n\n{inspect.cleandoc(JOB_FILES)}\n"
    job_options = _of_all(JobOptions)
    listed = _list(job_options, "options of a job")
    yield f"## Options of a job\n\nFor `submit` and `explain`.\n\n{listed}"
    yield "## Exit codes\n\n" + structs.lines(f"**{one.value}**: {CODES[one]}" for one in ExitCode)
    elsewhere = (
        Shared(shared, ""),
        Shared(jobs, "[jobs](#which-jobs)"),
        Shared(steering, "[jobs](#which-jobs)"),
        Shared(job_options, "[options](#options-of-a-job)"),
    )
    every = {name: _every_own(root[name], elsewhere) for name, *_ in COMMANDS}
    known = [
        one
        for one in _often([one for own in every.values() for one in own])
        if sum(one in own for own in every.values()) > 1
    ]
    yield f"## Options of several commands\n\n{_list(known)}"
    for title in dict.fromkeys(group for _, _, group, _ in COMMANDS):
        names = [name for name, _, group, _ in COMMANDS if group == title]
        yield f"## {title}\n"
        for name in sorted(names, key=lambda name: bool(_verbs(root[name]))):
            yield from _command(root[name], name, elsewhere, known)


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


def _command(
    app: App, title: str, elsewhere: "Sequence[Shared]", known: "Sequence[Option]"
) -> Iterator[str]:
    """Yield the sections of a command and its verbs; `elsewhere` and `known` have options said
    before."""
    verbs = [verb.strip() for verb in _typed(app, "") if verb]
    if verbs:
        yield f"### {title}\n\n{app.help}\n"
    if not verbs or app.default_command is not None:
        yield _entry(app, title, elsewhere, known)
    often = [one for one in _often(_every_own(app, elsewhere) if verbs else []) if one not in known]
    if often:
        yield f"Several of these commands share:\n\n{_list(often)}"
    said = (*known, *often)
    yield "\n".join(_entry(_leaf(app, verb), f"{title} {verb}", elsewhere, said) for verb in verbs)


def _every_own(app: App, elsewhere: "Sequence[Shared]") -> list["Option"]:
    """Return the options of a command and of all its verbs that no section before has."""
    apps = [_leaf(app, words) for words in _typed(app, "")]
    return [one for each in apps for one in _own(each, elsewhere)]


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


def _entry(app: App, title: str, elsewhere: "Sequence[Shared]", often: Container["Option"]) -> str:
    """Return a command in bold, what it does, and its own options."""
    options = _options(app)
    first, _, more = inspect.cleandoc(inspect.getdoc(app.default_command) or "").partition("\n\n")
    more = re.sub(r"^pilotage .+$", r"`\g<0>`", more, flags=re.MULTILINE)
    every = [one for one in _own(app, elsewhere) if one.help and not _is_plain(one)]
    own = [one for one in every if one not in often]
    shared = [one.typed.split("=")[0] for one in every if one in often and not one.argument]
    also = dict.fromkeys(one.link for one in elsewhere if one.link and one.of(options))
    parts = [f"**{title}**{_typed_behind(app, shared)}: {' '.join(first.split())}", more]
    if also:
        parts[0] += f" (Also {', '.join(also)}.)"
    if own:
        parts.append(_list(own, title).rstrip("\n"))
    return "\n\n".join(part for part in parts if part) + "\n"


def _typed_behind(app: App, shared: Sequence[str]) -> str:
    """Return the arguments of a command and its shared options, as they are typed behind it."""
    options = [f"[{one}]" for one in shared]
    typed = [
        one.typed if one.required else f"[{one.typed}]" for one in _options(app) if one.argument
    ]
    if app.default_command is None or "\n\npilotage " in (
        inspect.getdoc(app.default_command) or ""
    ):
        typed = []  # its text shows how it is typed
    return f" `{' '.join((*typed, *options))}`" if typed or options else ""


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


def _list(options: list[Option], title: str = "") -> str:
    """Return a line for each option, but one for all that set the keys of a file."""
    page, described = KEYS.get(title, ("", ()))
    fields = {field.name for struct in described for field in structs.described(struct)}
    keys = fields | set(map(short_name, fields))
    same = [one for one in options if _key(one) in keys]
    rest = structs.lines(_lines([one for one in options if one not in same]))
    if not same:
        return rest
    half = (len(same) + 1) // 2 if len(same) > LISTED_MAX else len(same)
    named = [_typed_all(part) for part in (same[:half], same[half:]) if part]
    return f"As the keys of {page}: " + ".\n\nAlso: ".join(named) + f".\n\n{rest}"


def _typed_all(options: list[Option]) -> str:
    return ", ".join(f"`{one.typed}`" for one in options)


def _lines(options: list[Option]) -> list[str]:
    """Return a line for each option, and one for options that narrow a list in the same way.

    `--owner: Only jobs of this owner.` and `--group: Only jobs of this group.` share a line.
    """
    alike: dict[str, list[Option]] = {}
    for one in options:
        alike.setdefault(_narrowing(one) or _line(one), []).append(one)
    return [
        _line(some[0]) if len(some) == 1 else f"{_typed_all(some)}: {said} one."
        for said, some in alike.items()
    ]


def _narrowing(option: Option) -> str:
    """Return how an option narrows a list by its own name: `Only jobs of this`. Empty if not so."""
    said, _, last = option.help.rstrip(".").rpartition(" ")
    is_narrow = "=" in option.typed and said.startswith("Only ") and last == _key(option)
    return said if is_narrow else ""


def _is_plain(option: Option) -> bool:
    """Whether the name of an argument says as much as its help."""
    return option.argument and len(option.help.split()) <= ARGUMENT_WORDS_MAX


def _key(option: Option) -> str:
    """Return the key of a file that an option sets, if they have the same name."""
    return re.sub(r"^--|=.*", "", option.typed).replace("-", "_")


def _line(option: Option) -> str:
    facts = [option.choices, "required" if option.required and not option.argument else ""]
    said = "; ".join(fact for fact in facts if fact)
    help = option.help.removesuffix(" Repeatable.")  # its "…" says it
    return f"`{option.typed}`{f' ({said})' if said else ''}: {help}"


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
    unit = unit_of(shown[-1].removeprefix("--").replace("-", "_")) if shown else None
    if unit is not None:
        shown, kind, choices = shown[:1], "TIME" if unit.is_time else "SIZE", ""
    name = ", ".join(sorted(shown, key=len)) or argument.name.lstrip("-").upper()
    help = argument.parameter.help or ""
    if not shown and kind.endswith("…"):
        name += "…"
    said = "default" in help or not argument.required and _shown(default) in ("", "0", "0.0")
    value = kind if said or argument.required else _shown(default)
    if unit is not None and value not in ("", kind):
        value = unit.written(default)
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
