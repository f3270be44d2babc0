"""Makes the body of an assignment as JSON bytes, with the parameters filled in. Pure.

Most jobs of a submission differ only in a few numbers. So a template is decoded and encoded once
and split at its parameters; the result is a form that is filled for each job.
"""

import re
from collections import OrderedDict
from typing import Final, NamedTuple

import msgspec

from ...errors import Refused
from ...jobs.definition.rendering import (
    UNREADABLE,
    body_of,
    decode_job,
    decode_parameters,
    fill,
    job_of,
    size_at_most,
    uses_in,
    with_id,
)
from ...jobs.definition.sizes import FILLED_BYTES_MAX
from ...jobs.record_types import JobBody

KEPT_BYTES_MAX: Final = 32 << 20  # of all cached templates; their forms are larger
BODIES_BYTES_MAX: Final = 16 << 20  # of one answer; a pilot accepts four times as much
_WEIGHT: Final = 1_000  # bytes that even a short template takes
_HERE, _ENDS = "\ue000", "\ue001"  # private-use characters around the name of a parameter
_MARKS: Final = re.compile(f"{_HERE}([^{_ENDS}]*){_ENDS}".encode())
_SHORTEST_USE: Final = 3  # characters: {a}
_NUMBER_GROWS: Final = 24

_encode = msgspec.json.encode


class RunOrder(NamedTuple):
    """The body of an assignment, and facts about its job that its lease keeps."""

    body: msgspec.Raw  # JSON of messages.Body
    success_codes: tuple[int, ...]
    retry_codes: tuple[int, ...]
    checkpoint: bool
    has_data: bool


class _Form(NamedTuple):
    """A template of an owner, split at its parameters."""

    parts: tuple[bytes, ...]  # before, between and after the parameters
    names: tuple[str, ...]  # of the parameters: one fewer than parts
    only: str  # the name, if all places have the same parameter; else empty
    success_codes: tuple[int, ...]
    retry_codes: tuple[int, ...]
    checkpoint: bool
    has_data: bool
    is_whole: bool  # whether the form can be filled; if not, the job is decoded and encoded


class Orders:
    """Makes run orders. It caches the forms of the newest templates."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._forms: OrderedDict[tuple[bytes, str], _Form] = OrderedDict()

    def __len__(self) -> int:
        """Return how many forms are cached."""
        return len(self._forms)

    def order(self, job_id: int, body: JobBody, owner: str) -> RunOrder:
        """Return the run order of a stored job."""
        template = body.template
        if template is not None:
            form = self._forms.get((template, owner)) or self._take_apart(template, owner)
            if form.is_whole:
                filled = _filled(form, body.body)
                return RunOrder(
                    filled, form.success_codes, form.retry_codes, form.checkpoint, form.has_data
                )
        job = with_id(job_of(template, body.body), job_id)
        encoded = msgspec.Raw(_encode(body_of(job, owner)))
        return RunOrder(
            encoded,
            job.success_codes,
            job.retry_codes,
            bool(job.checkpoint),
            job.data is not None,
        )

    def _take_apart(self, template: bytes, owner: str) -> _Form:
        form = self._forms[template, owner] = _form(template, owner)
        self._bytes += len(template) + _WEIGHT
        while self._bytes > self._bytes_max and len(self._forms) > 1:
            (dropped, _), _ = self._forms.popitem(last=False)
            self._bytes -= len(dropped) + _WEIGHT
        return form


def _form(template: bytes, owner: str) -> _Form:
    job = decode_job(template)
    marked = fill(job, {name: f"{_HERE}{name}{_ENDS}" for name in uses_in(job)})
    encoded = _encode(body_of(marked, owner))
    found = _MARKS.split(encoded)
    is_whole = not (job.id_placeholder or _HERE.encode() in template or _HERE in owner)
    names = tuple(name.decode() for name in found[1::2])
    only = names[0] if len(set(names)) == 1 else ""
    return _Form(
        tuple(found[0::2]),
        names,
        only,
        job.success_codes,
        job.retry_codes,
        bool(job.checkpoint),
        job.data is not None,
        is_whole,
    )


def _filled(form: _Form, entry: bytes) -> msgspec.Raw:
    if not form.names:
        return msgspec.Raw(form.parts[0])
    given = decode_parameters(entry)
    if form.only:
        return msgspec.Raw(_inner(given[form.only]).join(form.parts))
    pieces = [form.parts[0]]
    for name, part in zip(form.names, form.parts[1:], strict=True):
        pieces += (_inner(given[name]), part)
    return msgspec.Raw(b"".join(pieces))


def _inner(value: str | int | float) -> bytes:
    """Return a value as JSON text without the quotes."""
    return b"%d" % value if type(value) is int else _encode(str(value))[1:-1]


def room(bodies: list[JobBody | None]) -> int:
    """Return how many bodies, counted from the first, fit into one answer."""
    left = BODIES_BYTES_MAX
    if sum(map(_surely_at_most, bodies)) <= left:
        return len(bodies)
    for count, body in enumerate(bodies):
        left -= _size(body) if body is not None else 0
        if left < 0:
            return count
    return len(bodies)


def _size(body: JobBody) -> int:
    """Return an upper bound of a body's size; 0 for an unreadable job, which will fail."""
    try:
        return size_at_most(body.template, body.body)
    except (Refused, *UNREADABLE):
        return 0


def _surely_at_most(body: JobBody | None) -> int:
    """Return a larger bound that needs no decoding of the template."""
    if body is None:
        return 0
    if body.template is None:
        return len(body.body)
    length = len(body.template)
    most = length + length // _SHORTEST_USE * (len(body.body) + _NUMBER_GROWS)
    return min(most, FILLED_BYTES_MAX)
