"""The command `pilotage`. The module of a subcommand is loaded only when it runs."""

import os
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    Parameter,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from ..client.errors import ClientError
from .exit_codes import ExitCode, UsageError, exit_code_of
from .mistyped_words import surplus, unknown_command, unknown_option
from .presentation import note
from .whole_numbers import converted

_ROOM = "pilotage.central.cli"
_OF_THE_CENTRAL = (f"{_ROOM}.serve", f"{_ROOM}.admin")  # modules of commands that need its extra
_JOBS, _CENTRAL, _PILOTS = "Jobs", "Central", "Pilots, sites and tokens"

# Name, module and function, group in the help, help line.
COMMANDS = (
    ("submit", "jobs.submit:submit", _JOBS, "Submit a command, a job file or an array of jobs."),
    ("status", "jobs.status:status", _JOBS, "Show jobs: by id, by filter, or all unfinished ones."),
    ("show", "jobs.show:show", _JOBS, "Show everything about one job."),
    ("history", "jobs.history:history", _JOBS, "Show the history of a job, or ended jobs."),
    ("summary", "jobs.status:summary", _JOBS, "Count jobs by state, site, type, group or owner."),
    ("series", "series:series", _JOBS, "Show how many jobs waited, ran and ended, over time."),
    ("accounts", "series:accounts", _JOBS, "Show what jobs have used, by owner, day and more."),
    ("usage", "usage:usage", _JOBS, "Show jobs and bytes that count towards quotas."),
    ("failures", "failures.counts:app", _JOBS, "Show why attempts failed, by class and site."),
    ("notify", "notify:notify", _JOBS, "Be told by mail or webhook of the end of jobs."),
    ("wait", "jobs.follow:wait", _JOBS, "Wait until jobs have ended."),
    ("watch", "jobs.follow:watch", _JOBS, "Watch jobs live, by site."),
    ("logs", "jobs.logs:logs", _JOBS, "Print what jobs have written so far."),
    ("peek", "jobs.curve:peek", _JOBS, "Show the last output of a job, and what it uses now."),
    ("curve", "jobs.curve:curve", _JOBS, "Show what a job used over time."),
    ("output", "jobs.outputs:output", _JOBS, "List or fetch the files that jobs kept."),
    ("explain", "jobs.explain:explain", _JOBS, "Explain why a job waits, clause by clause."),
    ("kill", "jobs.actions:kill", _JOBS, "Kill jobs for good."),
    ("hold", "jobs.actions:hold", _JOBS, "Hold jobs until they are released."),
    ("release", "jobs.actions:release", _JOBS, "Release held jobs."),
    ("reschedule", "jobs.actions:reschedule", _JOBS, "Run jobs again from the start."),
    ("set", "jobs.changes:set_jobs", _JOBS, "Change needs and priority of waiting and held jobs."),
    ("retry", "jobs.changes:retry", _JOBS, "Run failed and held jobs again, with more."),
    ("delete", "jobs.actions:delete", _JOBS, "Hide ended jobs from lists."),
    ("prod", "productions.commands:app", _JOBS, "Check, plan, draw and run workflow files."),
    (
        *("transformation", "productions.transformations:app", _JOBS),
        "Turn files, or a number of tasks, into jobs.",
    ),
    ("data", "data.catalogue:app", _JOBS, "Find, register and remove files of the catalogue."),
    ("serve", "serve:serve", _CENTRAL, "Run the central."),
    ("doctor", "admin:doctor", _CENTRAL, "Check an installation, with advice."),
    ("admin", "admin:app", _CENTRAL, "Back up and restore an installation."),
    ("demo", "serve:demo", _CENTRAL, "Run a demonstration: central, pilots, campaign, result."),
    ("bench", "bench:bench", _CENTRAL, "Measure, and compare with the goals."),
    ("login", "identity.login:login", _CENTRAL, "Log in at a central through your institute."),
    ("logout", "identity.login:logout", _CENTRAL, "Log out from a central."),
    ("completion", "completion:completion", _CENTRAL, "Print the completion script of a shell."),
    ("whoami", "whoami:whoami", _CENTRAL, "Show your identity, and the central that you use."),
    ("quota", "usage:app", _CENTRAL, "Set quotas of a community, a group or an owner."),
    ("pilot", "pilots.commands:app", _PILOTS, "Start, list, drain and kill pilots; make secrets."),
    ("site", "sites:app", _PILOTS, "Show, check, ban, drain and enable sites."),
    ("limits", "limits:app", _PILOTS, "Show shares and limits, and reload them."),
    ("storage", "data.storages:app", _PILOTS, "Show storages, and check their files."),
    ("rucio", "data.rucio:app", _PILOTS, "Show Rucio servers, and which of their files are here."),
    ("session", "identity.sessions:app", _PILOTS, "List and end sessions of people."),
    ("token", "tokens:app", _PILOTS, "Issue, list and revoke tokens."),
    ("identity", "identity.check:app", _PILOTS, "Check files of identity providers."),
    ("ban", "identity.bans:ban", _PILOTS, "Ban a person: refuse requests, hold and kill jobs."),
    ("unban", "identity.bans:unban", _PILOTS, "Lift the ban of a person, and release jobs."),
    ("bans", "identity.bans:bans", _PILOTS, "List banned persons."),
)


def build() -> App:
    """Return the command tree. It has only the name and the help line of each command."""
    from pilotage import __version__

    app = App(
        name="pilotage",
        help="Pilot-and-matcher workload management for science communities.",
        version=__version__,
        # No --no-x and --empty-x options, and no empty defaults in the help.
        default_parameter=Parameter(negative=(), show_default=_worth_saying, converter=converted),
        help_epilogue="Exit codes: 0 ok · 1 jobs failed · 2 usage · 3 refused · 4 no connection"
        " · 5 timeout · 6 a job is Held · 130 Ctrl-C. The reference is docs/cli.md.",
    )
    for name, place, group, line in COMMANDS:
        app.command(f"{_ROOM}.{place}", name=name, group=group, help=line)
    return app


def run(argv: Sequence[str]) -> int:
    """Run a command line and return its exit code. An error is one line on standard error."""
    tokens, payload = split_payload(argv)
    if tokens[:1] == ["submit"]:  # `-` is no file for the parser
        tokens = ["/dev/stdin" if token == "-" else token for token in tokens]
    app = build()
    try:
        command, bound, extra = app.parse_args(
            tokens, print_error=False, exit_on_error=False, help_on_error=False
        )
        given: dict[str, Any] = {}
        if "payload" in extra:
            given["payload"] = payload
        elif payload:
            raise UsageError("only submit and explain take a command after `--`")
        if command.__module__ in _OF_THE_CENTRAL:
            from .extras import check_central

            check_central(tokens[0])
        return int(command(*bound.args, **bound.kwargs, **given) or ExitCode.OK)
    except UnusedCliTokensError as why:
        note(surplus(app, tokens, why.unused_tokens or tokens))
        return ExitCode.USAGE
    except UnknownCommandError as why:
        note(unknown_command(why))
        return ExitCode.USAGE
    except UnknownOptionError as why:
        note(unknown_option(why))
        return ExitCode.USAGE
    except CoercionError as why:
        note(_wrong_value(why))
        return ExitCode.USAGE
    except MissingArgumentError as why:
        note(_missing(why))
        return ExitCode.USAGE
    except CycloptsError as why:
        note(_one_line(why))
        return ExitCode.USAGE
    except ClientError as why:
        note(str(why))
        return exit_code_of(why)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. The flush at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK


def split_payload(argv: Sequence[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Split the command line at the first `--`. The words after it are the command of the job."""
    words = list(argv)
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], tuple(words[at + 1 :])


def main() -> None:
    """Run the command line of the process."""
    sys.exit(run(sys.argv[1:]))


def _worth_saying(default: object) -> str | None:
    return None if default in (None, "", (), False) else str(getattr(default, "value", default))


def _missing(why: MissingArgumentError) -> str:
    """Name the option that is missing. The library would name only its argument."""
    wanted = why.argument
    if wanted is None or wanted.tokens or why.tokens_so_far or not wanted.name.startswith("--"):
        return _one_line(why)
    typed = why.root_input_tokens or []
    if any(name in typed for name in wanted.names):
        return _one_line(why)
    return f"{wanted.name} is required: {wanted.parameter.help or 'see --help'}"


def _wrong_value(why: CoercionError) -> str:
    """Name the argument of a wrong value. The library would name only an option."""
    is_named = why.msg is None or why.token is None or why.token.keyword is not None
    if is_named or why.argument is None:
        return _one_line(why)
    return f"{why.argument.name.lstrip('-').upper()}: {_one_line(why)}"


def _one_line(error: CycloptsError) -> str:
    return " ".join(str(error).split())
