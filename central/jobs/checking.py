"""What is refused of a job before anything is stored, beyond what the types refuse. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from pilotage.matcher.tagexpr import BadTags, parse
from pilotage.proto.job import Job, Need
from pilotage.proto.messages import KEPT_FOLDER
from pilotage.proto.problems import Code
from pilotage.proto.wording import short

from ..auth.callers import User
from ..errors import Refused

_name = re.compile("[A-Za-z_][A-Za-z0-9_]*")
NUL: Final = b"u0000"  # stands in JSON whose texts hold NUL, and seldom in any other


def community_of(caller: User) -> str:
    """Return the community that the caller's jobs belong to. Raises Refused, FORBIDDEN."""
    if not caller.community:
        raise Refused(Code.FORBIDDEN, "your token names no community: jobs belong to one")
    return caller.community


def group_of(caller: User, job: Job, where: str) -> str:
    """Return the group that the job is for, the caller's first one by default.

    Raises Refused, FORBIDDEN, for a group that is not the caller's.
    """
    if not caller.groups:
        raise Refused(
            Code.FORBIDDEN,
            "your token names no group, and jobs belong to one: ask for a token with --group",
            field=f"{where}.group",
        )
    group = job.group or caller.groups[0]
    if group not in caller.groups:
        raise Refused(
            Code.FORBIDDEN,
            f"{where}.group: you may not submit for {group!r}; your groups are "
            f"{', '.join(caller.groups) or 'none'}",
            field=f"{where}.group",
        )
    return group


def check(job: Job, where: str) -> None:
    """Refuse what the types cannot: clauses that contradict each other, paths that lead out."""
    for i, need in enumerate(job.needs):
        _check_need(need, f"{where}.needs[{i}]")
    for i, one in enumerate(job.inputs):
        _check_path(one.name, f"{where}.inputs[{i}].name")
    for i, rule in enumerate(job.outputs):
        _check_path(rule.pattern, f"{where}.outputs[{i}].pattern")
    if job.image:  # run without it, the job would not be what was asked for
        raise Refused(
            Code.INVALID,
            f"{where}.image: {job.image!r}: pilots do not run container images yet; leave it out",
            field=f"{where}.image",
        )
    if not job.command[0]:
        raise Refused(
            Code.INVALID,
            f"{where}.command[0]: the first word names the program and must not be empty",
            field=f"{where}.command[0]",
        )
    for key in job.environment:
        if not _name.fullmatch(key) or key.startswith("PILOTAGE_"):
            raise Refused(
                Code.INVALID,
                f"{where}.environment: {key!r} is not a usable variable name "
                "(letters, digits, _; PILOTAGE_ is ours)",
                field=f"{where}.environment.{key}",
            )


def check_characters(value: object, where: str) -> None:
    """Refuse NUL in every text: no process starts with it, and no file is named so."""
    if isinstance(value, str):
        if "\0" in value:
            raise Refused(Code.INVALID, f"{where}: {short(value)!r} must not hold NUL", field=where)
    elif isinstance(value, Mapping):
        for key, one in cast(Mapping[str, object], value).items():
            check_characters(key, where)
            check_characters(one, f"{where}.{key}")
    elif isinstance(value, Sequence):
        for place, one in enumerate(cast(Sequence[object], value)):
            check_characters(one, f"{where}[{place}]")


def _check_need(need: Need, where: str) -> None:
    if need.cores_max and need.cores_max < need.cores_min:
        raise Refused(
            Code.INVALID,
            f"{where}.cores_max: {need.cores_max} is less than cores_min {need.cores_min}",
            field=f"{where}.cores_max",
        )
    try:
        parse(need.tags)
    except BadTags as why:
        raise Refused(Code.INVALID, f"{where}.tags: {why}", field=f"{where}.tags") from None
    both = set(need.sites) & set(need.banned_sites)
    if both:
        raise Refused(
            Code.INVALID,
            f"{where}.banned_sites: {', '.join(sorted(both))} is also in sites",
            field=f"{where}.banned_sites",
        )


def _check_path(text: str, where: str) -> None:
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or parts[0] == KEPT_FOLDER:
        raise Refused(
            Code.INVALID,
            f"{where}: {text!r} must be a path inside the job's folder, without '..'",
            field=where,
        )
