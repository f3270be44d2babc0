"""Views of attempts, for users. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from pilotage.matcher.types import Grant
from pilotage.proto.api.jobs import AttemptView, Curve
from pilotage.proto.messages import CHECKPOINT_FILE, KEPT_FOLDER, Output, Stream

from ..observe.times import shown
from .failure_class import class_of
from .record_types import AttemptRow

ATTEMPTS_MAX = 100


def attempt_views(attempts: Sequence[AttemptRow]) -> list[AttemptView]:
    """Return views of the newest attempts, at most ATTEMPTS_MAX, oldest first."""
    return [_view(one) for one in attempts[-ATTEMPTS_MAX:]]


def _view(one: AttemptRow) -> AttemptView:
    how = one.how.value if one.how is not None else "lease_over"
    return AttemptView(
        epoch=one.epoch,
        round=one.round,
        site=one.site,
        pilot=one.pilot,
        host=one.host,
        **given(one.grant, AttemptView),
        matched_at=shown(one.matched_at),
        started_at=shown(one.started_at),
        ended_at=shown(one.ended_at),
        how=how if one.ended_at is not None else "",
        exit_code=one.exit_code,
        detail=one.detail,
        isolation=one.isolation,
        usage=msgspec.to_builtins(one.usage) if one.usage is not None else {},
        curve=kept_stream(one, Stream.USAGE) is not None,
        checkpoint_bytes=sum(o.size_bytes for o in one.outputs if o.name == CHECKPOINT_FILE),
        stdout_bytes=written(kept_stream(one, Stream.OUT)),
        stderr_bytes=written(kept_stream(one, Stream.ERR)),
        failure=class_word(one),
        image=one.image,
    )


def given(grant: Grant, view: type[AttemptView | Curve]) -> dict[str, Any]:
    """Return the fields of a grant that a view shows."""
    fields = msgspec.structs.asdict(grant) | {"amounts": dict(grant.amounts)}
    return {name: fields[name] for name in fields if name in view.__struct_fields__}


def class_word(attempt: AttemptRow) -> str:
    """Return the failure class of an attempt as text, empty if it has none."""
    found = class_of(attempt)
    return "" if found is None else found.value


def written(kept: Output | None) -> int:
    """Return the size of a whole stream, given its stored end."""
    return 0 if kept is None else max(kept.size_bytes, kept.of_bytes)


def kept_stream(attempt: AttemptRow, stream: Stream) -> Output | None:
    """Return the stored end of an attempt's stream, or None."""
    name = f"{KEPT_FOLDER}/{stream.value}"
    return next((out for out in attempt.outputs if out.name == name), None)
