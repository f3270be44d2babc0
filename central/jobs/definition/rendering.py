"""Turns submitted templates and parameters into jobs for pilots. Pure."""

import re
import string
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from pilotage.proto.documents.job import DataOutput, Job, JobLimits, OutputPattern, PayloadToken
from pilotage.proto.messages import Body, InputFile, Limits, OutputRule
from pilotage.proto.problems import Code
from pilotage.proto.storages import INPUTS_WORD

from ...catalogue.placeholders import LATER, fill as fill_data, texts as data_texts
from ...errors import Refused
from .sizes import FilledSizes

TemplateParameters = Mapping[str, str | int | float]

_Pattern = TypeVar("_Pattern", OutputPattern, DataOutput)
_formatter = string.Formatter()
_name = re.compile("[A-Za-z_][A-Za-z0-9_]*")

TemplateEntry = dict[str, str | int | float]  # parameters as they are submitted
LITERAL_BRACES: Final = "Write literal braces, as in a shell program, as `{{` and `}}`"


class _Tokens(msgspec.Struct):
    """The field of a stored job that gives the tokens of its payload."""

    tokens: dict[str, PayloadToken] = {}


class ExitCodes(msgspec.Struct):
    """The fields of a stored job that say what its exit codes mean."""

    success_codes: tuple[int, ...] = (0,)
    retry_codes: tuple[int, ...] = ()


_decode_codes = msgspec.json.Decoder(ExitCodes).decode
_decode_tokens = msgspec.json.Decoder(_Tokens).decode
UNREADABLE: Final = (ValueError, LookupError, AttributeError, TypeError, RecursionError)
decode_job = msgspec.json.Decoder(Job).decode
decode_parameters = msgspec.json.Decoder(TemplateEntry).decode


def uses_in(job: Job) -> Counter[str]:
    """Return how often the template uses each parameter. Raises Refused for wrong braces."""
    uses: Counter[str] = Counter()
    later = _later(job)
    for where, text in _texts(job):
        try:
            parts = list(_formatter.parse(text))
        except ValueError as why:
            message = f"{where}: {text!r}: {why}. {LITERAL_BRACES}"
            raise Refused(Code.INVALID, message, field=where) from None
        for _, name, spec, conversion in parts:
            if name is None:
                continue
            if name in LATER and where in later and not (spec or conversion):
                continue
            if spec or conversion or not _name.fullmatch(name):
                raise Refused(
                    Code.INVALID,
                    f"{where}: {{{name}}} is not the name of a parameter (letters, digits, _). "
                    f"{LITERAL_BRACES}",
                    field=where,
                )
            uses[name] += 1
    return uses


def _texts(job: Job) -> list[tuple[str, str]]:
    texts = [("template.name", job.name)]
    has_inputs = job.data is not None and bool(job.data.inputs)
    texts += [
        (f"template.command[{i}]", word)
        for i, word in enumerate(job.command)
        if not (has_inputs and word == INPUTS_WORD)
    ]
    texts += [(f"template.environment.{key}", value) for key, value in job.environment.items()]
    texts += [(f"template.inputs[{i}].name", one.name) for i, one in enumerate(job.inputs)]
    texts += [(f"template.outputs[{i}].pattern", one.pattern) for i, one in enumerate(job.outputs)]
    if job.data is not None:
        texts += [(where, text) for where, text, _ in data_texts(job.data, "template.data")]
    return texts


def _later(job: Job) -> frozenset[str]:
    """Return the fields that may use names whose values only an attempt knows."""
    if job.data is None:
        return frozenset()
    return frozenset(where for where, _, later in data_texts(job.data, "template.data") if later)


def fill(template: Job, parameters: TemplateParameters) -> Job:
    """Return the template with its parameters filled in."""
    values = {name: str(value) for name, value in parameters.items()}

    def filled(text: str) -> str:
        return filled_text(text, values)

    data = template.data

    def argument(word: str) -> str:
        keeps = word == INPUTS_WORD and data is not None and bool(data.inputs)
        return word if keeps else filled(word)

    return msgspec.structs.replace(
        template,
        name=filled(template.name),
        command=tuple(map(argument, template.command)),
        environment={key: filled(value) for key, value in template.environment.items()},
        inputs=tuple(
            msgspec.structs.replace(one, name=filled(one.name)) for one in template.inputs
        ),
        outputs=tuple(
            msgspec.structs.replace(one, pattern=filled(one.pattern)) for one in template.outputs
        ),
        data=fill_data(data, parameters) if data is not None else None,
    )


def filled_text(text: str, values: Mapping[str, object]) -> str:
    """Return a text of a template with its parameters filled in."""
    return text.format_map(values) if "{" in text or "}" in text else text


class NotReadable(Exception):
    """This release cannot read a job that another release has stored. The message says why."""


def readable(template: bytes | None, body: bytes) -> Job:
    """Return a stored job. Raises NotReadable."""
    try:
        return job_of(template, body)
    except (Refused, *UNREADABLE) as why:
        raise NotReadable(f"{type(why).__name__}: {why}") from None


def job_of(template: bytes | None, body: bytes) -> Job:
    """Return a stored job, from the template of its submission and its own row.

    Raises Refused or one of UNREADABLE if this release cannot read it.
    """
    if template is None:
        return decode_job(body)
    job, has_names = _template(template)
    return fill(job, decode_parameters(body)) if has_names else job


def described(template: bytes | None, body: bytes) -> Job:
    """Return a stored job without filling in its parameters. Raises one of UNREADABLE."""
    return decode_job(body) if template is None else _template(template)[0]


def exit_codes_of(template: bytes | None, body: bytes) -> ExitCodes:
    """Return what the exit codes of a stored job mean, without filling in parameters."""
    return _decode_codes(body if template is None else template)


def tokens_of(template: bytes | None, body: bytes) -> dict[str, PayloadToken]:
    """Return the tokens of a stored job by name. They contain no parameters."""
    return _decode_tokens(body if template is None else template).tokens


@lru_cache(maxsize=1_024)
def _template(template: bytes) -> tuple[Job, bool]:
    """Return a decoded template, and whether it contains parameters or braces."""
    job = decode_job(template)
    return job, any("{" in text or "}" in text for _, text in _texts(job))


def size_at_most(template: bytes | None, body: bytes) -> int:
    """Return an upper bound of the bytes of a filled job, without filling it in."""
    if template is None:
        return len(body)
    return _sizes(template).at_most(body)


@lru_cache(maxsize=1_024)
def _sizes(template: bytes) -> FilledSizes:
    job = decode_job(template)
    return FilledSizes(job, uses_in(job))


def body_of(job: Job, owner: str) -> Body:
    """Return the job in the form that a pilot gets."""
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
        software=job.software,
        modules=job.modules,
        checkpoint=job.checkpoint,
        limits=_limits(job.limits),
        tokens=tuple(job.tokens),
        stdout_file=job.stdout_file,
        stderr_file=job.stderr_file,
    )


def with_id(job: Job, job_id: int) -> Job:
    """Return a stored job with its id in place of its placeholder, if it has one."""
    mark, number = job.id_placeholder, str(job_id)
    if not mark:
        return job

    def filled(text: str) -> str:
        return text.replace(mark, number)

    def outputs(rules: tuple[_Pattern, ...]) -> tuple[_Pattern, ...]:
        return tuple(msgspec.structs.replace(one, pattern=filled(one.pattern)) for one in rules)

    data = job.data
    return msgspec.structs.replace(
        job,
        name=filled(job.name),
        command=tuple(map(filled, job.command)),
        environment={key: filled(value) for key, value in job.environment.items()},
        outputs=outputs(job.outputs),
        stdout_file=filled(job.stdout_file),
        stderr_file=filled(job.stderr_file),
        data=data and msgspec.structs.replace(data, outputs=outputs(data.outputs)),
    )


@lru_cache(maxsize=1_024)
def _limits(limits: JobLimits) -> Limits:
    return Limits(**msgspec.structs.asdict(limits))
