"""Write the pages of `docs/` that follow from the code: `make docs`.

A new page is one function and one line in PAGES; `test_generated.py` then keeps it up to date.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, get_type_hints

from pilotage.central.catalogue.storages import StorageEntry
from pilotage.central.observe import events
from pilotage.central.observe.metrics import METRICS, VALUES_MAX
from pilotage.central.settings import KeptDays, MailSettings, Settings
from pilotage.matcher.rules import RunningLimit, StartLimit
from pilotage.pilot import events as pilot_log
from pilotage.proto import (
    job_states,
    messages,
    pilot_states,
    production_states,
    transformation_states,
)
from pilotage.proto.documents import job, transformation
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
    workflow_files,
)

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
_JOB_STRUCTS: Final = (
    *(job.Job, job.Need, job.Preference, job.Input, job.OutputPattern, job.JobLimits),
    *(job.JobData, job.DataInput, job.DataOutput),
)
_TRANSFORMATION_STRUCTS: Final = (
    *(transformation.Transformation, transformation.InputSpec, transformation.Grouping),
)


def job_states_page() -> str:
    drawing = mermaid(job_states.TRANSITIONS, job_states.START, job_states.FINAL)
    text = """
        Nothing leaves a final state but a reschedule by a person or the failover. *Stalled* and
        *deleted* are marks that are shown beside a state, not states.
    """
    return _page("States of a job", "proto/job_states.py", text, f"```mermaid\n{drawing}```\n")


def pilot_states_page() -> str:
    drawing = mermaid(pilot_states.TRANSITIONS, pilot_states.START, pilot_states.FINAL)
    text = """
        *Silent* (its beats are late) is a mark that is shown beside a state. A lost pilot that is
        heard again runs on: a long network cut has healed.
    """
    return _page("States of a pilot", "proto/pilot_states.py", text, f"```mermaid\n{drawing}```\n")


def production_states_page() -> str:
    states = production_states
    drawing = mermaid(states.PRODUCTIONS, states.START, states.FINAL)
    text = """
        That a step or files wait for a person is a mark that is shown beside a state.
        [Productions](productions.md) tells what the verbs do, [the states of its
        transformations](transformation-states.md) how each step stands.
    """
    source = "proto/production_states.py"
    return _page("States of a production", source, text, f"```mermaid\n{drawing}```\n")


def transformation_states_page() -> str:
    text = """
        *Scouting*, *flushing* and *looking for inputs* are marks that are shown beside the state of
        a transformation, *inherited* beside that of a file. [Transformations](transformations.md)
        tells what the verbs do.
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
    text = """
        What `pilotage transformation add`, the Python API and `POST /v1/transformations` accept. A
        key that is not listed here is refused by name. [Transformations](transformations.md) has
        examples, [job description](job-description.md) what a job may say.
    """
    sections = (
        f"## {struct.__name__}\n\n{structs.description(struct)}\n\n{structs.table(struct)}"
        for struct in _TRANSFORMATION_STRUCTS
    )
    return _page("Transformation files", "proto/documents/transformation.py", text, *sections)


def job_description_page() -> str:
    text = """
        What a job file (YAML or JSON), the Python API and `POST /v1/submissions` accept. A key that
        is not listed here is refused by name.
    """
    sections = (
        f"## {struct.__name__}\n\n{structs.description(struct)}\n\n{structs.table(struct)}"
        for struct in _JOB_STRUCTS
    )
    return _page("Job description", "proto/documents/job.py", text, *sections)


def configuration_page() -> str:
    text = """
        One YAML file (`--config`, else `PILOTAGE_CONFIG`, else `pilotage.yaml` in the data
        directory), then environment variables `PILOTAGE_SECTION__KEY`, then options; later ones
        win. A key that is not listed here is refused by name, before anything starts. Times are in
        seconds, as `_s` says.
    """
    sections: list[str] = []
    for name, section in get_type_hints(Settings).items():
        fields = structs.table(section, prefix=f"{name}.")
        sections.append(f"## {name}\n\n{structs.description(section)}\n\n{fields}")
    sections.extend(
        f"### {struct.__name__}\n\n{structs.description(struct)}\n\n{structs.table(struct)}"
        for struct in (RunningLimit, StartLimit, KeptDays, MailSettings)
    )
    return _page("Configuration", "central/settings.py", text, *sections)


def site_files_page() -> str:
    text = """
        One file a site, `sites/NAME.yaml` in the data directory: [sites](operations/sites.md) tells
        how they are used. A key that is not listed here is refused with its line, and its file, or
        its element, stays as it was; `pilotage doctor` looks at all of them. Times are in seconds,
        as `_s` says.
    """
    return _page(
        "Sites' files", "central/factory/site_files/sites.py", text, *site_files.sections()
    )


def errors_page() -> str:
    text = """
        Every error of the API has a body `{code, message, field}`: the code is stable, the message
        is for people, the field names the part of the request that is wrong, where there is one.
    """
    meanings = notes.beside(Code)
    rows = "".join(
        f"| `{code.value}` | {status} | {meanings[code.name]} |\n"
        for code, status in STATUS.items()
    )
    table = "| code | HTTP status | what it means, what to do |\n|---|---|---|\n" + rows
    return _page("Error codes", "proto/problems.py", text, table)


def events_page() -> str:
    text = """
        What the central writes to its log, on standard error: one JSON object a line, with the time
        `at`, the `event` and these fields. What was logged while a request was answered has its id
        in `request`; the answer has it in the header `x-request-id`. Events marked (debug) come for
        each job, and only with `log.level: debug`. Each event is also a
        [metric](metrics.md), `pilotage_events_total`.
    """
    meanings = notes.above(events)
    rows = (
        f"| `{event}`{' (debug)' if event in events.QUIET else ''} | {meanings[event]} | "
        f"{', '.join(f'`{field}`' for field in sorted(fields))} |\n"
        for event, fields in sorted(events.EVENTS.items())
    )
    table = "| event | meaning | fields |\n|---|---|---|\n" + "".join(rows)
    return _page("Events", "central/observe/events.py", text, table)


def pilot_events_page() -> str:
    text = """
        What a pilot writes to its log, on standard error: one JSON object a line, with the time
        `at`, the `event` and these facts. [`pilotage pilot logs`](pilot-logs.md) shows the same of
        all pilots; there warnings are marked.
    """
    meanings = notes.above(pilot_log)
    rows = (
        f"| `{event}`{' (warning)' if event in pilot_log.WARNINGS else ''} | {meanings[event]} | "
        f"{', '.join(f'`{fact}`' for fact in sorted(facts))} |\n"
        for event, facts in sorted(pilot_log.EVENTS.items())
    )
    table = "| event | meaning | facts |\n|---|---|---|\n" + "".join(rows)
    return _page("Events of pilots", "pilot/events.py", text, table)


def metrics_page() -> str:
    text = f"""
        What `GET /metrics` answers in the text format of Prometheus, to readers, managers,
        operators and admins: totals over all communities. A label has at most {VALUES_MAX} values,
        those beyond are one, `other`. What to do when one of them is out of bounds:
        [alarms](operations/alarms.md).
    """
    rows = "".join(
        f"| `{name}` | {metric.kind} | {', '.join(f'`{one}`' for one in metric.labels)} | "
        f"{metric.means} | {metric.promise} |\n"
        for name, metric in METRICS.items()
    )
    table = "| metric | kind | labels | meaning | [promise](promises.md) |\n|---|---|---|---|---|\n"
    return _page("Metrics", "central/observe/metrics.py", text, table + rows)


def command_line_page() -> str:
    text = "What people type. Programs use `pilotage.Client`, which has the same words."
    return _page("Command line", "central/cli", text, *command_line.sections())


def http_api_page() -> str:
    text = "What the central answers, route by route. `tests/integration/http` walks through all."
    return _page("HTTP API", "central/*/routes.py", text, *routes.sections())


def storage_files_page() -> str:
    text = """
        One file a storage, `storages/NAME.yaml` in the data directory: [storages](storages.md)
        tells what they are for. Unknown fields are refused with their line. A file that does not
        read disables itself and nothing else: what it said before stays in force.
    """
    section = f"## StorageEntry\n\n{structs.description(StorageEntry)}\n\n"
    section += structs.table(StorageEntry)
    return _page("Storages' files", "central/catalogue/storages.py", text, section)


def pilot_messages_page() -> str:
    text = "What pilots and the central say to each other over HTTPS and the bus, field by field."
    return _page("Messages of pilots", "proto/messages.py", text, *pilot_messages.sections())


def roles_page() -> str:
    text = """
        One table decides the rights of every caller, for all routes and services. A test calls
        every route with every kind of caller.
    """
    return _page("Roles and rights", "central/identity/policy.py", text, *rights.sections())


def workflow_files_page() -> str:
    text = """
        [Workflows](workflows.md) tells how these files are used. Beside what stands here a step may
        have `for`: names with lists of values, or a list of mappings. Short forms: a parameter is
        its default, an input `STEP.OUTPUT`, an output its pattern, `grouping` a size or a rule,
        `sets` a list of keys; `needs` of the job may be one mapping. A key that is not listed here
        is refused with its line.
    """
    return _page("Workflow files", "proto/documents/workflow.py", text, *workflow_files.sections())


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": command_line_page,
    "configuration.md": configuration_page,
    "errors.md": errors_page,
    "events.md": events_page,
    "http-api.md": http_api_page,
    "job-description.md": job_description_page,
    "job-states.md": job_states_page,
    "metrics.md": metrics_page,
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
    body = "\n".join(sections)
    whole = "\n\n".join([note, f"# {title}", inspect.cleandoc(text), body])
    return _linked(re.sub(r"\n{3,}", "\n\n", whole).rstrip("\n") + "\n")


def _linked(page: str) -> str:
    """Let links to what another page describes lead there."""
    here = set(re.findall(r"^#+ (\w+)$", page.lower(), re.MULTILINE))
    elsewhere = {
        name.lower(): target
        for module, target in ((job, "job-description.md"), (messages, "pilot-messages.md"))
        for name in vars(module)
    }

    def lead(found: re.Match[str]) -> str:
        word = found[1]
        return found[0] if word in here else f"]({elsewhere[word]}#{word})"

    return re.sub(r"\]\(#(\w+)\)", lead, page)


def write() -> None:
    """Write every page that differs from what the code says."""
    for name, page in PAGES.items():
        target, text = DOCS / name, page()
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            print(f"docs/{name}")


if __name__ == "__main__":
    write()
