"""Refusals of words that no command takes: unknown commands, unknown options, surplus words."""

# Both tables are words of other systems, most of them of batch systems.

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from cyclopts import App, Argument, UnknownCommandError, UnknownOptionError

# The command that does the same here.
NEIGHBOURS: Final = {
    "cancel": "kill",
    "rm": "kill",
    "queue": "status",
    "ps": "status",
    "list": "status",
    "top": "status",
    "jobs": "status",
    "stat": "status",
    "run": "submit",
    # Slurm, whose users also type `pilotage squeue`
    "sbatch": "submit",
    "srun": "submit",
    "squeue": "status",
    "sacct": "history",
    "seff": "show",
    "scancel": "kill",
    "scontrol": "set",
    "sinfo": "site",
    # HTCondor
    "condor_submit": "submit",
    "condor_q": "status",
    "condor_history": "history",
    "condor_rm": "kill",
    "condor_hold": "hold",
    "condor_release": "release",
    "condor_qedit": "set",
    "condor_tail": "logs",
    "condor_status": "pilot",
}
# The option that says the same here.
OPTIONS: Final = {
    "--time": "--wall",
    "--time-limit": "--wall",
    "--timelimit": "--wall",
    "--walltime": "--wall",
    "--runtime": "--wall",
    "--cpus": "--cores",
    "--ncpus": "--cores",
    "--cpus-per-task": "--cores",
    "--ntasks": "--cores",
    "--threads": "--cores",
    "--cores-min": "--cores",
    "--gpus-min": "--gpus",
    "--gres": "--gpus",
    "--ram": "--memory",
    "--mem-per-cpu": "--memory-per-core",
    "--disk": "--scratch",
    "--tmp": "--scratch",
    "--exclusive": "--whole-node",
    "--job-name": "--name",
    "--account": "--group",
    "--nice": "--priority",
    "--requeue": "--retries",
    "--container": "--image",
    "--container-image": "--image",
    "--export": "--env",
    "--environment": "--env",
    "--licenses": "--need",
    "--exclude": "--banned-site",
    "--dependency": "--after",
    "--depends-on": "--after",
    "--deps": "--after",
    "--partition": "--site",
    "--queue": "--site",
}
ONLY_SUBMIT: Final = (
    *("--wait", "--follow", "--timeout", "--timeout-s", "--through-held", "--key"),
    *("--running-max", "--notify", "--dry-run", "--ids-file", "-f"),
)  # options of `submit` that say nothing about the job
_OF_SEVERAL_JOBS: Final = ("--submission", "--state", "--filter", "--all")
_TAKE_COMMANDS: Final = ("submit", "explain")
_LETTERS_A_MISTAKE: Final = 3  # a word of this many letters may have one wrong letter
_MISTAKES_MAX: Final = 2
_PREFIX_MIN: Final = 3


def unknown_command(error: UnknownCommandError) -> str:
    """Return the refusal of an unknown command, with the right one if there is a near one."""
    words = list(error.command_chain or ())
    word = (error.unused_tokens or [""])[0]
    known = [name for name in error.app or () if not name.startswith("-")]
    meant = NEIGHBOURS.get(word, "")
    if meant not in known:
        meant = nearest(word, known)
    text = f"unknown command {' '.join([*words, word])!r}"
    if meant:
        return f"{text}: did you mean {' '.join([*words, meant])!r}?"
    return f"{text}: `{' '.join(['pilotage', *words, '--help'])}` lists the commands"


def unknown_option(error: UnknownOptionError) -> str:
    """Return the refusal of an unknown option, with the right one if there is a near one."""
    word = (error.token.keyword or error.token.value).partition("=")[0]
    names = chain.from_iterable(one.names for one in error.argument_collection if one.parse)
    known = [name for name in names if name.startswith("--")]
    command = " ".join(error.command_chain or ())
    if command == "explain" and word in ONLY_SUBMIT:
        advice = "explain submits nothing, so leave it out"
    elif word in _OF_SEVERAL_JOBS and _takes_one_job(error.argument_collection):
        advice = f"{command} takes one job, as in `pilotage {command} 12`"
    else:
        advice = _advice(word, known, command)
    return f"unknown option {word!r}: {advice}"


def _takes_one_job(arguments: Iterable[Argument]) -> bool:
    return any(one.name == "JOB" for one in arguments)


def _advice(word: str, known: Sequence[str], command: str) -> str:
    """Return what to write in place of an option that the command does not have."""
    if "--filter" in known:
        from .jobs.selection import KEYS

        key = word.removeprefix("--")
        if key in KEYS:
            return f"write --filter {key}=…"
    meant = OPTIONS.get(word, "")
    if meant not in known:
        meant = nearest(word, known)
    if meant:
        return f"did you mean {meant!r}?"
    return f"`pilotage {command} --help` lists the options"


def surplus(app: App, tokens: Sequence[str], unused: Sequence[str]) -> str:
    """Return the refusal of words that a command of `app` does not take."""
    text = f"unexpected argument {unused[0]!r} after {' '.join(tokens[: _place(tokens, unused)])!r}"
    is_job = tokens[0] in list(app) and tokens[1:2] and tokens[1].isdecimal()
    if is_job and _takes_one_job(app[tokens[0]].assemble_argument_collection()):
        return f"{text}: {tokens[0]} takes one job"
    if tokens[0] not in _TAKE_COMMANDS:
        return text
    return f"{text}: a command comes after `--`, as in {tokens[0]} -- …"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was most likely meant; empty if none is near.

    A known word is near if it begins with `word`. It is also near with a few mistakes, that is
    wrong, missing, surplus or swapped letters: one in 3 letters, two in 6 or more.
    """
    names = sorted(known, key=lambda name: (len(name), name))
    letters = word.lstrip("-")
    if len(letters) >= _PREFIX_MIN:
        longer = next((name for name in names if name.startswith(word)), "")
        if longer:
            return longer
    most = min(_MISTAKES_MAX, len(letters) // _LETTERS_A_MISTAKE)
    found = min(names, key=lambda name: mistakes(word, name), default="")
    return found if found and mistakes(word, found) <= most else ""


def mistakes(typed: str, meant: str) -> int:
    """Return how many letters must be changed, added, removed or swapped with the next one."""
    rows = [list(range(len(meant) + 1))]
    for i, letter in enumerate(typed, 1):
        row = [i]
        for j, other in enumerate(meant, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != other))
            if i > 1 and j > 1 and typed[i - 2] == other and letter == meant[j - 2]:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def _place(tokens: Sequence[str], unused: Sequence[str]) -> int:
    """Return the index of the first unused word. The unused words keep their order."""
    at = len(tokens)
    for word in reversed(unused):
        at = max((i for i in range(at) if tokens[i] == word), default=at)
    return at
