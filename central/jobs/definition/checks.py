"""Checks of a submitted job that its types cannot express. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from pilotage.matcher.clauses.tag_expressions import BadTags, count, parse
from pilotage.matcher.types import X86_64
from pilotage.matcher.versions import Version, version
from pilotage.proto.amounts import AMOUNTS_MAX
from pilotage.proto.claims import Role
from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.messages import KEPT_FOLDER
from pilotage.proto.problems import Code

from ...catalogue.checks import check_data
from ...errors import Refused
from ...identity.callers import User
from .sizes import check_command
from .software import check_length, check_software, needs_of

_LEVELS: Final = ("architecture_level_min", "architecture_level_max")
# Pairs of fields for a minimum and a maximum.
_RANGES: Final = (
    ("cores_min", "cores_max"),
    ("gpus_min", "gpus_max"),
    _LEVELS,
    ("gpu_compute_capability_min", "gpu_compute_capability_max"),
)
_OF_GPUS: Final = tuple(name for name in Need.__struct_fields__ if name.startswith("gpu_"))
# Limits for all needs of a job together. The matcher compares all these words, and one owner can
# have thousands of classes of jobs.
TAGS_MAX: Final = 64
SITES_MAX: Final = 256
# Limit for one job, or one entry of parameters. Other requests wait while the entries are checked.
NAMES_MAX: Final = 4_096

WORD_MAX: Final = 128  # characters of a word in a need
_word = re.compile("[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_name = re.compile("[A-Za-z_][A-Za-z0-9_]*")
NUL: Final = b"u0000"  # in JSON with NUL in a text, and rarely in other JSON


def community_of(caller: User) -> str:
    """Return the community of the caller's jobs. Raises Refused (FORBIDDEN)."""
    if not caller.community:
        raise Refused(
            Code.FORBIDDEN, "your token names no community, but jobs need one: use a token with one"
        )
    return caller.community


def _remedy(caller: User) -> str:
    """Return how to get a group."""
    if not caller.session:
        return "ask a manager or an admin for a token with a group"
    if caller.role is Role.USER:
        return "ask an admin to map one of your groups at the identity provider"
    return "log in with the role user, `pilotage login --role user`"


def group_of(caller: User, job: Job, where: str) -> str:
    """Return the group of the job, by default the caller's first group.

    Raises Refused (FORBIDDEN) for a group that is not the caller's.
    """
    if not caller.groups:
        raise Refused(
            Code.FORBIDDEN,
            f"your token names no group, but jobs need one: {_remedy(caller)}",
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


def check_tokens(caller: User, job: Job, where: str) -> None:
    """Refuse a job with tokens unless the caller's token is of a login. Raises Refused (FORBIDDEN).

    The owner's session gives the tokens. A direct token of the same person is refused, because it
    can have fewer scopes than the session.
    """
    if job.tokens and not caller.session:
        raise Refused(
            Code.FORBIDDEN,
            f"{where}.tokens: found {', '.join(job.tokens)}, but your token is not of a login, and "
            "only identity providers give tokens to jobs: log in with `pilotage login`, or leave "
            "tokens out",
            field=f"{where}.tokens",
        )


def check(job: Job, where: str) -> None:
    """Refuse what the types cannot, such as contradictions and paths outside the job's folder."""
    check_length(job, where)
    for i, need in enumerate(needs_of(job)):
        _check_need(need, f"{where}.needs[{i}]")
    _check_words(job, where)
    _check_warning(job, where)
    for field in ("inputs", "outputs", "environment"):
        check_number(len(getattr(job, field)), f"{where}.{field}")
    for i, one in enumerate(job.inputs):
        _check_path(one.name, f"{where}.inputs[{i}].name")
    for i, rule in enumerate(job.outputs):
        _check_path(rule.pattern, f"{where}.outputs[{i}].pattern")
    _check_stream_files(job, where)
    _check_id_places(job, where)
    if job.checkpoint:
        _check_path(job.checkpoint, f"{where}.checkpoint")
        if not set(job.checkpoint.split("/")) - {"", "."}:  # it would contain the inputs, too
            raise Refused(
                Code.INVALID,
                f"{where}.checkpoint: {job.checkpoint!r} must name a folder in the job's folder",
                field=f"{where}.checkpoint",
            )
    check_software(job, where)
    if job.data is not None:
        check_data(job.data, f"{where}.data")
    if not job.command[0]:
        raise Refused(
            Code.INVALID,
            f"{where}.command[0]: the first word names the program and must not be empty",
            field=f"{where}.command[0]",
        )
    check_command(job.command, where)
    for key in job.environment:
        if not _name.fullmatch(key) or key.startswith("PILOTAGE_"):
            raise Refused(
                Code.INVALID,
                f"{where}.environment.{key}: {short(key)!r} is not a usable variable name "
                "(use letters, digits and _; names with PILOTAGE_ are reserved)",
                field=f"{where}.environment.{key}",
            )


def _check_id_places(job: Job, where: str) -> None:
    """Refuse a job that grows too much when its id is filled in."""
    mark = job.id_placeholder
    if mark:
        texts = (*job.command, *job.environment.values(), *(one.pattern for one in job.outputs))
        check_number(sum(text.count(mark) for text in texts), f"{where}.id_placeholder")


def _check_stream_files(job: Job, where: str) -> None:
    """Refuse names outside the job's folder, and one file for both streams."""
    for field in ("stdout_file", "stderr_file"):
        name = getattr(job, field)
        if name:
            _check_path(name, f"{where}.{field}")
    if job.stdout_file and job.stdout_file == job.stderr_file:
        field = f"{where}.stderr_file"
        why = f"{field}: {job.stderr_file!r} is stdout_file too, so one would replace the other"
        raise Refused(Code.INVALID, why, field=field)


def check_number(found: int, where: str) -> None:
    """Refuse more than NAMES_MAX entries in a job or an entry of parameters."""
    if found > NAMES_MAX:
        raise Refused(
            Code.INVALID,
            f"{where}: found {found} entries, expected at most {NAMES_MAX}",
            field=where,
        )


def check_characters(value: object, where: str) -> None:
    """Refuse NUL in all texts, because arguments and names of files cannot contain it."""
    if isinstance(value, str):
        if "\0" in value:
            raise Refused(
                Code.INVALID, f"{where}: {short(value)!r} must not contain NUL", field=where
            )
    elif isinstance(value, Mapping):
        for key, one in cast(Mapping[str, object], value).items():
            check_characters(key, where)
            check_characters(one, f"{where}.{key}")
    elif isinstance(value, Sequence):
        for place, one in enumerate(cast(Sequence[object], value)):
            check_characters(one, f"{where}[{place}]")


def _check_need(need: Need, where: str) -> None:
    for field, why in _contradictions(need):
        raise Refused(Code.INVALID, f"{where}.{field}: {why}", field=f"{where}.{field}")


def _check_words(job: Job, where: str) -> None:
    """Refuse a job with so many words in its needs that it would slow down the matching."""
    tags = sum(count(need.tags) for need in needs_of(job))
    sites = sum(len(need.sites) + len(need.banned_sites) for need in job.needs)
    if job.preference is not None:
        sites += len(job.preference.sites)
    amounts = len({name for need in job.needs for name in need.amounts})
    for what, found, most in (
        ("tags", tags, TAGS_MAX),
        ("sites", sites, SITES_MAX),
        ("amounts", amounts, AMOUNTS_MAX),
    ):
        if found > most:
            raise Refused(
                Code.INVALID,
                f"{where}.needs: found {found} {what} in all entries together, expected at most "
                f"{most}",
                field=f"{where}.needs",
            )


def _check_warning(job: Job, where: str) -> None:
    """Refuse a warning time that is not less than the wall time."""
    least, warning = min(need.wall_s for need in job.needs), job.limits.warning_s
    if warning >= least:
        field = f"{where}.limits.warning_s"
        why = f"{warning} must be less than wall_s {least}, else the warning comes at the start"
        raise Refused(Code.INVALID, f"{field}: {why}", field=field)


def _contradictions(need: Need) -> Iterator[tuple[str, str]]:
    """Yield the contradictions in a need: the field and the reason."""
    for least, most in _RANGES:
        low, high = getattr(need, least), getattr(need, most)
        if high and _size(high) < _size(low):
            yield most, f"{high} must not be less than {least} {low}"
    if need.whole_node and need.cores_max:
        yield "cores_max", "a whole node includes all its cores: remove cores_max"
    if need.architecture and need.architecture != X86_64:
        for field in _LEVELS:
            if getattr(need, field):
                found = short(need.architecture)
                yield field, f"levels exist only for {X86_64}, but architecture is {found!r}"
    if not need.gpus_min:
        for field in _OF_GPUS:
            if getattr(need, field):
                yield field, "this needs a GPU: set gpus_min to 1 or more, too"
    try:
        parse(need.tags)
    except BadTags as why:
        yield "tags", str(why)
    for field in ("element", "os", "architecture"):
        word = getattr(need, field)
        if len(word) > WORD_MAX:
            yield field, f"expected at most {WORD_MAX} characters, found {len(word)}"
        elif word and not _word.fullmatch(word):
            yield field, f"expected only letters, digits and . _ : / @ + -, found {short(word)!r}"
    both = set(need.sites) & set(need.banned_sites)
    if both:
        yield "banned_sites", f"{', '.join(sorted(both))} is also in sites"


def _size(value: int | str) -> Version:
    return version(value) if isinstance(value, str) else (value,)


def _check_path(text: str, where: str) -> None:
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or parts[0] == KEPT_FOLDER:
        raise Refused(
            Code.INVALID,
            f"{where}: {text!r} must be a path inside the job's folder, without '..'",
            field=where,
        )
