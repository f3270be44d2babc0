"""Which jobs get tokens of their owners."""

from collections.abc import Iterable
from typing import Final

from pilotage.proto.job_states import FINAL, JobState

from ..store.session import Session, json_list

_UNFINISHED: Final = json_list(sorted(state.value for state in JobState if state not in FINAL))


def keep_token_classes(session: Session, class_ids: Iterable[int]) -> None:
    """Note that jobs of these classes get tokens. Classes are few, even if jobs are many."""
    session.many("keep_token_class", [(class_id,) for class_id in sorted(class_ids)])


def also_token_classes(session: Session, changed: Iterable[tuple[int, int]]) -> None:
    """Note the new classes of jobs whose needs change, given as (old, new).

    A class whose jobs get tokens keeps this property.
    """
    session.many("also_token_class", [(new, old) for old, new in sorted(changed)])


def remove_token_classes(session: Session, class_ids: Iterable[int]) -> None:
    """Forget classes that were removed."""
    session.run("remove_token_classes", {"classes": json_list(list(class_ids))})


def has_jobs_with_tokens(session: Session, community: str, issuer: str, subject: str) -> bool:
    """Return whether a person has unfinished jobs with tokens in a community."""
    fields = {
        "community": community,
        "issuer": issuer,
        "subject": subject,
        "states": _UNFINISHED,
    }
    return bool(session.one("has_jobs_with_tokens", fields)[0])
