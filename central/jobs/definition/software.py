"""What a job says of the software that its node must have: an image, folders, modules. Pure.

Whether it is there only the node can tell. What no node could make sense of is refused here, and
the kind of an image is a tag that the pilot must have.
"""

import msgspec

from pilotage.proto.documents.job import Job, Need
from pilotage.proto.images import kind_of, tag_of
from pilotage.proto.problems import Code
from pilotage.proto.storages import TAG as DATA

from ...errors import Refused

LEVEL = "{level}"  # in a folder of software: the best that the node has
TAGS_LENGTH_MAX = 1_024  # as of any need


def check_software(job: Job, where: str) -> None:
    """Refuse an image, folders and modules that no pilot could bring together."""
    if job.image:
        why = _wrong_image(job.image)
        if why:
            raise _refused(f"{where}.image", job.image, why)
        if job.modules:
            why = "modules are of the node, and are not seen inside of an image: leave one out"
            raise _refused(f"{where}.modules", ", ".join(job.modules), why)
    for i, folder in enumerate(job.software):
        why = _wrong_folder(folder)
        if why:
            raise _refused(f"{where}.software[{i}]", folder, why)


def needs_of(job: Job) -> tuple[Need, ...]:
    """Return what a job needs of a pilot: with an image, also that it can run one of this kind.

    With data, that it brings and stores them.
    """
    if not job.image and job.data is None:
        return job.needs
    wanted = [tag_of(kind_of(job.image))] if job.image else []
    if job.data is not None:
        wanted.append(DATA)
    tag = " & ".join(wanted)
    return tuple(
        msgspec.structs.replace(need, tags=f"({need.tags}) & {tag}" if need.tags.strip() else tag)
        for need in job.needs
    )


def check_length(job: Job, where: str) -> None:
    """Refuse tags that would be too long with the one that an image adds."""
    for i, need in enumerate(needs_of(job)):
        if len(need.tags) > TAGS_LENGTH_MAX:
            added = len(need.tags) - len(job.needs[i].tags)
            most = TAGS_LENGTH_MAX - added
            why = (
                f"with an image found {len(job.needs[i].tags)} characters, expected at most {most}"
            )
            raise Refused(
                Code.INVALID,
                f"{where}.needs[{i}].tags: {why}",
                field=f"{where}.needs[{i}].tags",
            )


def _wrong_image(image: str) -> str:
    if "://" in image:
        return (
            "pilots fetch no images from registries; name a path that is there on their nodes: a "
            ".sif file, an unpacked folder as in /cvmfs/unpacked.cern.ch, or an archive in a .tar"
        )
    return _wrong_path(image) or ("must not be the root folder" if image.strip("/") == "" else "")


def _wrong_folder(folder: str) -> str:
    if ":" in folder:
        return "must not hold a colon, which separates the folders of PATH"
    if any(sign in folder.replace(LEVEL, "") for sign in "{}"):
        return f"braces stand for nothing but {LEVEL}"
    return _wrong_path(folder)


def _wrong_path(path: str) -> str:
    if not path.startswith("/"):
        return "must be an absolute path: it is looked for on the node"
    if ".." in path.split("/"):
        return "must not hold '..'"
    if not path.isprintable():
        return "must not hold control characters"
    return ""


def _refused(field: str, value: str, why: str) -> Refused:
    return Refused(Code.INVALID, f"{field}: {value[:200]!r}: {why}", field=field)
