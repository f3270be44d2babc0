"""`pilotage failures rules …`: check rules of failover, and test them."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import App, Parameter

from pilotage.proto.api.jobs import AttemptView
from pilotage.proto.attempts import How
from pilotage.proto.decoding.complaints import complaint
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.nesting import loads
from pilotage.proto.failures import Evidence

from ..command_frame import CentralConnection, CommandResult, reads
from ..exit_codes import ExitCode, UsageError
from ..presentation import note, number, print_line, table
from ..times import moment

if TYPE_CHECKING:
    from ...failover.rules import RuleSet

app = App(name="rules", help="Check rules of failover, and test what they would do.")
_COLUMNS = ("failure", "site", "attempts#", "jobs seen#", "rule", "what it does")
LEASE_OVER = "lease_over"  # the end of an attempt that its pilot did not report
FileArgument = Annotated[Path, Parameter(help="YAML file with rules.")]


@app.command
def check(file: FileArgument, /) -> int:
    """Check a file of rules: show mistakes with their lines, and the default rules that it
    replaces.

    This command needs no central.
    """
    from ...failover.rules import default_rules

    rules = _read(file)
    if rules is None:
        return ExitCode.FAILED
    base = default_rules()
    for kind in ("failures", "transformations", "recovery"):
        known = {rule.name: rule for rule in getattr(base, kind)}
        for rule in getattr(rules, kind):
            if rule == known.get(rule.name):
                continue
            text = "replaces the default rule" if rule.name in known else "before the default rules"
            print_line(f"{kind}: {rule.name}: {text}{', as a dry run' if rule.dry_run else ''}")
    print_line(f"{file}: no mistakes")
    return ExitCode.OK


@app.command
@reads
async def test(
    central: CentralConnection,
    file: FileArgument,
    /,
    *,
    evidence: Annotated[
        Path | None, Parameter(help="JSON file with one failure, instead of the recent ones.")
    ] = None,
    step: Annotated[str, Parameter(help="Apply the rules of this step of the workflow.")] = "",
    since: Annotated[str, Parameter(help="Only failures since then, in whole hours.")] = "1d",
) -> CommandResult:
    """Show which rule would match each recent failure, and what it would do.

    The command tests the newest failed jobs of each class and site, as if each had failed for the
    first time, with two inputs. With `--evidence` it reads the fields of one failure, such as
    {"how": "exited", "exit_code": 3}, and needs no central.
    """
    rules = _read(file)
    if rules is None:
        return CommandResult(None, code=ExitCode.FAILED)
    if evidence is not None:
        print_line("\n".join(_decided(rules, _evidence_in(evidence), step)))
        return CommandResult(None)
    begin = moment(since)
    client = await central.client()
    rows: list[tuple[str, ...]] = []
    for line in (await client.failures(since=begin)).lines:
        said: Counter[tuple[str, str]] = Counter()
        for job in line.examples:
            attempts = (await client.detail(job)).attempts
            for one in attempts[-1:]:
                said[_match(rules, evidence_of(one), step)] += 1
        for (rule, what), jobs in said.most_common():
            failure, where = line.failure.value, line.site or "-"
            many = number(line.attempts)
            rows.append((failure, where, many, number(jobs), rule, what))
    found = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    return CommandResult(found, table(_COLUMNS, rows, empty="no attempt has failed since then"))


def _read(file: Path) -> "RuleSet | None":
    from ...failover.rules import BadRules, default_rules, read_rules

    try:
        return read_rules(file.read_text(encoding="utf-8"), str(file), base=default_rules())
    except OSError as why:
        raise UsageError(f"{file}: {why.strerror}") from None
    except (BadRules, UnicodeDecodeError) as why:
        note(str(why))
        return None


def _evidence_in(file: Path) -> Evidence:
    """Return the failure in a file. Unknown fields are refused, unlike in reports of pilots."""
    from ...failover.rules import HOWS

    try:
        data = file.read_bytes()
        said: dict[str, Any] = loads(data, dict[str, Any])
    except OSError as why:
        raise UsageError(f"{file}: {why.strerror}") from None
    except msgspec.MsgspecError as why:
        raise UsageError(f"{file}: {complaint(why, dict[str, Any]).message}") from None
    for key in sorted(said.keys() - {*Evidence.__struct_fields__}):
        raise UsageError(f"{file}: {unknown(key, Evidence.__struct_fields__)}")
    how = said.get("how")
    if isinstance(how, str) and how not in HOWS:
        raise UsageError(f"{file}: how: {unknown(how, HOWS, what='word')}")
    if how == LEASE_OVER:
        said["how"] = None
    try:
        return msgspec.convert(said, Evidence)
    except msgspec.ValidationError as why:
        mistake = complaint(why, Evidence, data)
        raise UsageError(f"{file}: {mistake.path.removeprefix('$.')}: {mistake.message}") from None


def evidence_of(attempt: AttemptView) -> Evidence:
    """Return the evidence of a failure from an attempt in the API."""
    usage = attempt.usage
    return Evidence(
        how=None if attempt.how in ("", LEASE_OVER) else How(attempt.how),
        costs=True,
        exit_code=attempt.exit_code,
        memory_mb=attempt.memory_mb,
        memory_peak_mb=usage.get("memory_peak_mb", 0.0),
        wall_limit_s=attempt.wall_s,
        detail=attempt.detail,
        site=attempt.site,
        host=attempt.host,
    )


def _match(rules: "RuleSet", one: Evidence, step: str) -> tuple[str, str]:
    from ...failover.decisions import TaskHistory, decide

    made = decide(rules, one, TaskHistory(inputs=2, step=step))
    if not made:
        return "-", "not a failure"
    tried = any(two.dry_run for two in made)
    rule = made[0].rule or "none"
    what = ", ".join(two.do.value for two in made if two.rule == made[0].rule)
    return rule, f"would have: {what}" if tried and made[0].dry_run else what


def _decided(rules: "RuleSet", one: Evidence, step: str) -> list[str]:
    from ...failover.decisions import TaskHistory, decide

    made = decide(rules, one, TaskHistory(inputs=2, step=step))
    if not made:
        return ["not a failure"]
    lines: list[str] = []
    for two in made:
        more = [
            f"{two.memory_mb} MB" if two.memory_mb else "",
            f"{two.wall_s} s" if two.wall_s else "",
        ]
        more += [
            f"after {two.wait_s:g} s" if two.wait_s else "",
            "at another host" if two.elsewhere else "",
        ]
        text = ", ".join(filter(None, more))
        would = "would have: " if two.dry_run else ""
        failure = two.failure.value if two.failure is not None else ""
        lines.append(f"{failure}: {would}{two.do.value}{f' ({text})' if text else ''}: {two.rule}")
    return lines
