"""Checks of the software that a job needs on its node: an image, folders, modules. Pure.

Only the node can tell whether the software is installed. This module refuses values that are wrong
on every node. For the kind of an image, it adds a tag that the pilot must have.
"""

import msgspec

from pilotage.proto.documents.job import Job, Need
from pilotage.proto.images import (
    DOCKER,
    REFERENCE_FORM,
    BadReference,
    kind_of,
    read_reference,
    tags_wanted,
)
from pilotage.proto.messages import TOKENS_TAG
from pilotage.proto.problems import Code
from pilotage.proto.storages import TAG as DATA

from ...errors import Refused

LEVEL = "{level}"  # placeholder in a software folder: the best level that the node supports
TAGS_LENGTH_MAX = 1_024  # as for all needs


def check_software(job: Job, where: str) -> None:
    """Refuse an image, folders and modules that no pilot can combine."""
    if job.image:
        why = _wrong_image(job.image)
        if why:
            raise _refused(f"{where}.image", job.image, why)
        if job.modules:
            why = "modules of the node are not visible inside an image: remove modules or image"
            raise _refused(f"{where}.modules", ", ".join(job.modules), why)
    for i, folder in enumerate(job.software):
        why = _wrong_folder(folder)
        if why:
            raise _refused(f"{where}.software[{i}]", folder, why)


def needs_of(job: Job) -> tuple[Need, ...]:
    """Return the needs of a job, with the tags that it implies.

    An image needs a pilot that can run its kind. `data` needs a pilot that can transfer files, and
    `tokens` one that can fetch them.
    """
    if not job.image and job.data is None and not job.tokens:
        return job.needs
    wanted = [tags_wanted(job.image)] if job.image else []
    if job.data is not None:
        wanted.append(DATA)
    if job.tokens:
        wanted.append(TOKENS_TAG)
    tag = " & ".join(wanted)
    return tuple(
        msgspec.structs.replace(need, tags=f"({need.tags}) & {tag}" if need.tags.strip() else tag)
        for need in job.needs
    )


def check_length(job: Job, where: str) -> None:
    """Refuse tags that would be too long with the added ones."""
    for i, need in enumerate(needs_of(job)):
        if len(need.tags) > TAGS_LENGTH_MAX:
            added = len(need.tags) - len(job.needs[i].tags)
            most = TAGS_LENGTH_MAX - added
            why = (
                f"found {len(job.needs[i].tags)} characters, expected at most {most} in a job with "
                "an image, data or tokens"
            )
            raise Refused(
                Code.INVALID,
                f"{where}.needs[{i}].tags: {why}",
                field=f"{where}.needs[{i}].tags",
            )


def _wrong_image(image: str) -> str:
    if kind_of(image) == DOCKER:
        try:
            read_reference(image)
        except BadReference as why:
            return f"{why}: expected {REFERENCE_FORM}"
        return ""
    if not image.startswith("/"):
        return f"expected {REFERENCE_FORM}, or an absolute path on the node"
    return _wrong_path(image) or ("must not be the root folder" if image.strip("/") == "" else "")


def _wrong_folder(folder: str) -> str:
    if ":" in folder:
        return "must not contain a colon, which separates the folders of PATH"
    if any(sign in folder.replace(LEVEL, "") for sign in "{}"):
        return f"braces are allowed only in {LEVEL}"
    return _wrong_path(folder)


def _wrong_path(path: str) -> str:
    if not path.startswith("/"):
        return "must be an absolute path on the node"
    if ".." in path.split("/"):
        return "must not contain '..'"
    if not path.isprintable():
        return "must not contain control characters"
    return ""


def _refused(field: str, value: str, why: str) -> Refused:
    return Refused(Code.INVALID, f"{field}: {value[:200]!r}: {why}", field=field)
