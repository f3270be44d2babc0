"""From what was handed in to what a pilot runs: templates, parameters, checks. Pure."""

import re
import string
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from pilotage.matcher.tagexpr import BadTags, parse
from pilotage.proto.job import Job, Need
from pilotage.proto.messages import Body, InputFile, OutputRule
from pilotage.proto.problems import Code

from ..errors import Refused

Parameters = Mapping[str, str | int | float]

_formatter = string.Formatter()
_name = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")

Entry = dict[str, str | int | float]  # parameters as they are submitted

decode_job = msgspec.json.Decoder(Job).decode
decode_parameters = msgspec.json.Decoder(Entry).decode


def names_in(job: Job) -> frozenset[str]:
    """Return the parameters that the template uses. Raises Refused for unmatched braces."""
    names: set[str] = set()
    for where, text in _texts(job):
        try:
            parts = list(_formatter.parse(text))
        except ValueError as why:
            raise Refused(Code.INVALID, f"{where}: {text!r}: {why}", field=where) from None
        for _, name, spec, conversion in parts:
            if name is None:
                continue
            if spec or conversion or not _name.match(name):
                raise Refused(
                    Code.INVALID,
                    f"{where}: {{{name}}} is not the name of a parameter (letters, digits, _); "
                    "write {{ and }} for braces",
                    field=where,
                )
            names.add(name)
    return frozenset(names)


def _texts(job: Job) -> list[tuple[str, str]]:
    texts = [("template.name", job.name)]
    texts += [(f"template.command[{i}]", word) for i, word in enumerate(job.command)]
    texts += [(f"template.environment.{key}", value) for key, value in job.environment.items()]
    texts += [(f"template.inputs[{i}].name", one.name) for i, one in enumerate(job.inputs)]
    texts += [(f"template.outputs[{i}].pattern", one.pattern) for i, one in enumerate(job.outputs)]
    return texts


def fill(template: Job, parameters: Parameters) -> Job:
    """Return the job that the parameters make of the template."""
    values = {name: str(value) for name, value in parameters.items()}

    def filled(text: str) -> str:
        return filled_text(text, values)

    return msgspec.structs.replace(
        template,
        name=filled(template.name),
        command=tuple(filled(word) for word in template.command),
        environment={key: filled(value) for key, value in template.environment.items()},
        inputs=tuple(
            msgspec.structs.replace(one, name=filled(one.name)) for one in template.inputs
        ),
        outputs=tuple(
            msgspec.structs.replace(one, pattern=filled(one.pattern)) for one in template.outputs
        ),
    )


def filled_text(text: str, values: Mapping[str, object]) -> str:
    """Return a text of a template with its parameters in place."""
    return text.format_map(values) if "{" in text or "}" in text else text


def job_of(template: bytes | None, body: bytes) -> Job:
    """Return a stored job, out of its submission's template and its own row."""
    if template is None:
        return decode_job(body)
    job, has_names = _template(template)
    return fill(job, decode_parameters(body)) if has_names else job


@lru_cache(maxsize=1_024)
def _template(template: bytes) -> tuple[Job, bool]:
    """Return a decoded template, and whether parameters or braces stand in it."""
    job = decode_job(template)
    return job, any("{" in text or "}" in text for _, text in _texts(job))


def body_of(job: Job, owner: str) -> Body:
    """Return what a pilot is told to run."""
    return Body(
        command=job.command,
        environment=dict(job.environment),
        image=job.image,
        inputs=tuple(
            InputFile(name=i.name, sha256=i.sha256, size_bytes=i.size_bytes, unpack=i.unpack)
            for i in job.inputs
        ),
        outputs=tuple(OutputRule(pattern=o.pattern, required=o.required) for o in job.outputs),
        success_codes=job.success_codes,
        name=job.name,
        owner=owner,
    )


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
    if "\0" in "".join(job.command) or not job.command[0]:
        raise Refused(
            Code.INVALID,
            f"{where}.command: words must not hold NUL and the first must not be empty",
            field=f"{where}.command",
        )
    for key, value in job.environment.items():
        if not _name.match(key) or "\0" in value or key.startswith("PILOTAGE_"):
            raise Refused(
                Code.INVALID,
                f"{where}.environment: {key!r} is not a usable variable name "
                "(letters, digits, _; PILOTAGE_ is ours)",
                field=f"{where}.environment.{key}",
            )


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
    if text.startswith("/") or ".." in parts or "\0" in text or parts[0] == ".pilotage":
        raise Refused(
            Code.INVALID,
            f"{where}: {text!r} must be a path inside the job's folder, without '..'",
            field=where,
        )
