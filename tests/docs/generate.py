"""Write the pages of `docs/` that follow from the code: `make docs`.

A new page is one function and one line in PAGES; `test_generated.py` then keeps it up to date.
"""

import inspect
import re
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from pathlib import Path
from textwrap import fill
from types import ModuleType
from typing import Final, get_type_hints

from pilotage.central.catalogue.storages import StorageCredential, StorageEntry
from pilotage.central.observe import events
from pilotage.central.observe.metrics import METRICS, VALUES_MAX, Metric
from pilotage.central.settings import KeptDays, MailSettings, Settings
from pilotage.matcher.rules import RunningLimit, StartLimit
from pilotage.pilot import events as pilot_log
from pilotage.proto import (
    job_states,
    messages,
    pilot_states,
    production_states,
    storages,
    transformation_states,
)
from pilotage.proto.api.jdl import JdlPlatform
from pilotage.proto.documents import job, transformation, workflow
from pilotage.proto.problems import STATUS, Code
from tests.state_tables import mermaid

from . import (
    command_line,
    notes,
    pilot_messages,
    rights,
    routes,
    site_files,
    structs,
    terminal,
    workflow_files,
)

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
_WIDTH: Final = 100
_PAGE_OF: Final = {
    messages: "pilot-messages.md",
    storages: "pilot-messages.md",
    workflow: "workflow-files.md",
    transformation: "transformation-files.md",
    job: "job-description.md",
}
_JOB_STRUCTS: Final = (
    *(job.Job, job.Need, job.Preference, job.Input, job.OutputPattern, job.JobLimits),
    *(job.JobData, job.DataInput, job.DataOutput, job.PayloadToken, job.Dependency),
)
QUANTITIES: Final = """
    ## Sizes and times

    The end of a key is the unit of its number: `memory_mb: 4000`. Files, settings and options also
    take a unit: `memory_mb: 4GB`, `wall_s: 2h`. Job, transformation and workflow files take
    `memory: 4GB` and `wall: 2h` too; only `queue_s`, `cpu_s`, `for_s` and `wait_s` keep their end.

    - Sizes: `kB`, `MB`, `GB`, `TB` and `PB` are powers of 1,000; `KiB`, `MiB`, `GiB`, `TiB` and
      `PiB` are powers of 1,024. The `B` may be left out: `500M` is 500 MB. (In Slurm: 500 MiB.)
    - Times: `w`, `d`, `h`, `m` and `s`, largest first, each once: `1d12h`, `90m`, `1.5h`.

    The central keeps the plain number, rounded up. The HTTP and Python APIs take plain numbers.
"""
_TRANSFORMATION_STRUCTS: Final = (
    *(transformation.Transformation, transformation.InputSpec, transformation.Grouping),
)


def job_states_page() -> str:
    drawing = mermaid(job_states.TRANSITIONS, job_states.START, job_states.FINAL)
    text = """
        A job leaves a final state only if a person or failover reschedules it. *Stalled* and
        *deleted* are not states: the central shows them as marks beside the state.
    """
    return _page("States of a job", "proto/job_states.py", text, f"```mermaid\n{drawing}```\n")


def pilot_states_page() -> str:
    drawing = mermaid(pilot_states.TRANSITIONS, pilot_states.START, pilot_states.FINAL)
    text = """
        *Silent* is not a state: it marks a pilot whose heartbeats are late. A lost pilot continues
        if the central hears from it again, for example after a long network cut.
    """
    return _page("States of a pilot", "proto/pilot_states.py", text, f"```mermaid\n{drawing}```\n")


def production_states_page() -> str:
    states = production_states
    drawing = mermaid(states.PRODUCTIONS, states.START, states.FINAL)
    text = """
        A mark beside the state shows that a step or files are stuck. See also
        [productions](productions.md) for the verbs, and [the states of
        transformations](transformation-states.md) for the steps.
    """
    source = "proto/production_states.py"
    return _page("States of a production", source, text, f"```mermaid\n{drawing}```\n")


def transformation_states_page() -> str:
    text = """
        The central also shows marks beside the state: *scouting*, *flushing* and *looking for
        inputs* for a transformation, *inherited* for a file. [Transformations](transformations.md)
        explains the verbs.

        A file is *stuck* if no task takes it until a user acts. Its state says why: Stuck (its
        tasks failed too often), Problematic (bad data) or Missing (no readable copy). A step is
        stuck if it continues only after a user acts.
    """
    states = transformation_states
    ended = frozenset(states.TaskState) - {states.TASK_START}
    drawings = (
        ("Transformations", mermaid(states.TRANSFORMATIONS, states.START, states.FINAL)),
        ("Their tasks", mermaid(states.TASKS, states.TASK_START, ended)),
        ("Their inputs", mermaid(states.INPUTS, states.INPUT_START, frozenset())),
    )
    sections = [f"## {title}\n\n```mermaid\n{drawing}```\n" for title, drawing in drawings]
    source = "proto/transformation_states.py"
    return _page("States of transformations", source, text, *sections)


def transformation_files_page() -> str:
    text = f"""
        A transformation file is YAML or JSON, for `pilotage transformation add`. The Python API and
        `POST /v1/transformations` take the same keys, and an unknown key is refused by name.
        [Transformations](transformations.md) has examples.

        {structs.KEY}
    """
    sections = (_struct("##", struct) for struct in _TRANSFORMATION_STRUCTS)
    return _page("Transformation files", "proto/documents/transformation.py", text, *sections)


def job_description_page() -> str:
    text = f"""
        A job file (YAML or JSON), the Python API and `POST /v1/submissions` take these keys. An
        unknown key is refused by name. [Short forms](cli.md#what-to-submit) work in files only.

        {structs.KEY}
    """
    sections = (*(_struct("##", struct) for struct in _JOB_STRUCTS), inspect.cleandoc(QUANTITIES))
    return _page("Job description", "proto/documents/job.py", text, *sections)


def configuration_page() -> str:
    text = f"""
        The central reads its settings from three places. Later ones win:

        1. one YAML file: `--config`, else `PILOTAGE_CONFIG`, else `pilotage.yaml` in the data
           directory;
        2. environment variables `PILOTAGE_SECTION__KEY`;
        3. options of `pilotage serve`.

        The central refuses to start with an unknown key. Names that end in `_s` are in seconds;
        [units](job-description.md#sizes-and-times) work too, as in `lease_s: 2m`.

        {structs.KEY}
    """
    sections = [
        _struct("##", section, title=name, prefix=f"{name}.")
        for name, section in get_type_hints(Settings).items()
    ]
    inner = (RunningLimit, StartLimit, KeptDays, MailSettings, JdlPlatform)
    sections.extend(_struct("###", struct) for struct in inner)
    return _page("Configuration", "central/settings.py", text, *sections)


def site_files_page() -> str:
    text = f"""
        Each site has one file, `sites/NAME.yaml` in the data directory. See
        [sites](operations/sites.md).

        An unknown key is refused with its line, and the central keeps the last good version of the
        file or element. `pilotage doctor` checks all files. Names that end in `_s` are in seconds.

        {structs.KEY}
    """
    return _page("Site files", "central/factory/site_files/sites.py", text, *site_files.sections())


def errors_page() -> str:
    text = """
        Every error of the API has the body `{code, message, field}`: a stable code for programs, a
        message for people, and the wrong field of the request, if any. The HTTP status is in
        brackets.
    """
    meanings = notes.beside(Code)
    rows = structs.lines(
        f"`{code.value}` ({status}): {meanings[code.name]}" for code, status in STATUS.items()
    )
    return _page("Error codes", "proto/problems.py", text, rows)


def events_page() -> str:
    text = """
        The central writes its log to standard error, one JSON object a line: the time `at`, the
        `event`, and the fields in brackets. Events of a request have its id in `request`, as the
        header `x-request-id` of the answer. Events marked *debug* need `log.level: debug`. The
        [metric](metrics.md) `pilotage_events_total` counts all of them.
    """
    rows = _events(events, events.EVENTS, events.QUIET, "debug")
    return _page("Events", "central/observe/events.py", text, rows)


def pilot_events_page() -> str:
    text = """
        A pilot writes its log to standard error, one JSON object a line: the time `at`, the
        `event`, and the fields in brackets. [`pilotage pilot logs`](pilot-logs.md) shows these
        lines for all pilots.
    """
    rows = _events(pilot_log, pilot_log.EVENTS, pilot_log.WARNINGS, "warning")
    return _page("Events of pilots", "pilot/events.py", text, rows)


def metrics_page() -> str:
    text = f"""
        `GET /metrics` answers in the text format of Prometheus, with totals of all communities. It
        needs [a token](../deploy/monitoring/README.md). A label has at most {VALUES_MAX} values;
        `other` stands for the rest. P1 and the like are [promises](promises.md) that the metric
        watches. [Alarms](operations/alarms.md) says what to do if a value is out of bounds.
    """
    kinds = dict.fromkeys(metric.kind for metric in METRICS.values())
    sections = (
        f"## {kind.capitalize()}s\n\n"
        + structs.lines(_metric(name, one) for name, one in METRICS.items() if one.kind == kind)
        for kind in kinds
    )
    return _page("Metrics", "central/observe/metrics.py", text, *sections)


def command_line_page() -> str:
    text = (
        "`pilotage COMMAND --help` shows the options. Programs use [the Python API](python-api.md)."
    )
    return _page("Command line", "central/cli", text, *command_line.sections())


def http_api_page() -> str:
    text = "All routes of the central, by subject, then [the larger bodies](#bodies) of requests."
    return _page("HTTP API", "central/*/routes.py", text, *routes.sections())


def storage_files_page() -> str:
    text = f"""
        Each storage has one file, `storages/NAME.yaml` in the data directory.
        [Storages](storages.md) explains how to use them. An unknown key is refused with its line.
        If a file is wrong, the central keeps its last good version, and all other storages work on.

        {structs.KEY}
    """
    sections = [_struct("##", one) for one in (StorageEntry, StorageCredential)]
    return _page("Storage files", "central/catalogue/storages.py", text, *sections)


def pilot_messages_page() -> str:
    text = "Pilots and the central exchange these messages over HTTPS and the message bus."
    return _page("Messages of pilots", "proto/messages.py", text, *pilot_messages.sections())


def roles_page() -> str:
    text = """
        One table decides the rights of every caller, for all routes and services. A test calls
        every route with every kind of caller.
    """
    return _page("Roles and rights", "central/identity/policy.py", text, *rights.sections())


def workflow_files_page() -> str:
    text = f"""
        [Workflows](workflows.md) explains how to use these files. An unknown key is refused with
        its line.

        A step may also have `for`: names with lists of values, or a list of mappings. There are
        short forms:

        - a parameter may be its default, and an input `STEP.OUTPUT`;
        - an output may be its pattern, `grouping` a size or a rule, and `sets` a list of keys;
        - `needs` of the job may be one mapping.

        {structs.KEY}
    """
    return _page("Workflow files", "proto/documents/workflow.py", text, *workflow_files.sections())


PICTURES: Final = {  # a page that the tests run, and commands of it
    "data": ("data.md", "data find particle", "data find run", "data keys"),
    "productions": ("productions.md", "prod submit chain.yaml", "prod wait", "prod graph"),
    "transformations": ("transformations.md", "transformation show process"),
    "tutorial": ("tutorial.md", "submit --array", "logs 5", "submit --site", "explain 11"),
    "use-a-central": ("howto/use-a-central.md", "submit", "output 1"),
    "workflows": (
        "workflows.md",
        "prod submit first.yaml --dry-run",
        "prod submit first.yaml --local",
        "prod graph",
    ),
}

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": command_line_page,
    "configuration.md": configuration_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "http-api.md": http_api_page,
    "job-description.md": job_description_page,
    "job-states.md": job_states_page,
    "metrics.md": metrics_page,
    **{
        f"pictures/{name}.svg": partial(terminal.picture, *shown)
        for name, shown in PICTURES.items()
    },
    "pilot-events.md": pilot_events_page,
    "pilot-messages.md": pilot_messages_page,
    "pilot-states.md": pilot_states_page,
    "production-states.md": production_states_page,
    "roles.md": roles_page,
    "site-files.md": site_files_page,
    "storage-files.md": storage_files_page,
    "transformation-files.md": transformation_files_page,
    "transformation-states.md": transformation_states_page,
    "workflow-files.md": workflow_files_page,
}


def _page(title: str, source: str, text: str, *sections: str) -> str:
    note = f"<!-- Written by `make docs` from {source}: change that file, not this one. -->"
    whole = "\n\n".join([note, f"# {title}", inspect.cleandoc(text), "\n".join(sections)])
    return _wrapped(_linked(re.sub(r"\n{3,}", "\n\n", whole).rstrip("\n") + "\n"))


def _wrapped(text: str) -> str:
    """Wrap the lines that are longer than people write them."""
    return "\n".join(
        fill(
            line,
            _WIDTH,
            subsequent_indent="  " if line.startswith(("- ", "  ", "`", "**")) else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        if len(line) > _WIDTH and not line.startswith(("#", "|", "<"))
        else line
        for line in text.split("\n")
    )


def _linked(page: str) -> str:
    """Let links to what another page describes lead there."""
    here = set(re.findall(r"^#+ (\w+)$", page.lower(), re.MULTILINE))
    elsewhere = {
        name.lower(): page
        for module, page in _PAGE_OF.items()
        for name, thing in vars(module).items()
        if module is messages or getattr(thing, "__module__", "") == module.__name__
    }

    def lead(found: re.Match[str]) -> str:
        word = found[1]
        return found[0] if word in here else f"]({elsewhere[word]}#{word})"

    page = re.sub(r"(?<![\w`(/])docs/((?:[\w-]+/)*)([\w-]+)\.md", _to_page, page)
    return re.sub(r"\]\(#(\w+)\)", lead, page)


def _to_page(found: re.Match[str]) -> str:
    """Return a link for the path of a page, as comments have it."""
    return f"[{found[2].replace('-', ' ')}]({found[1]}{found[2]}.md)"


def _struct(level: str, struct: type, *, title: str = "", prefix: str = "") -> str:
    """Return the section of a struct: what it is, and its fields."""
    fields = structs.fields(struct, prefix=prefix)
    return f"{level} {title or struct.__name__}\n\n{structs.description(struct)}\n\n{fields}"


def _events(
    module: ModuleType, known: Mapping[str, Iterable[str]], marked: Container[str], mark: str
) -> str:
    """Return a line for each event of a log, with its fields and what it means."""
    meanings = notes.above(module)
    lines: list[str] = []
    for event, fields in sorted(known.items()):
        said = f" *{mark}*" if event in marked else ""
        lines.append(f"`{event}({','.join(sorted(fields))})`{said}: {meanings[event]}")
    return "## All events\n\n" + structs.lines(lines)


def _metric(name: str, metric: Metric) -> str:
    labels = f"{{{','.join(metric.labels)}}}" if metric.labels else ""
    promise = f" {metric.promise}." if metric.promise else ""
    return f"`{name}{labels}`: {metric.means}.{promise}"


def write() -> None:
    """Write every page that differs from what the code says."""
    for name, page in PAGES.items():
        target, text = DOCS / name, page()
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            print(f"docs/{name}")


if __name__ == "__main__":
    write()
