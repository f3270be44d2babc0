"""Descriptions in JDL on this machine: their texts, and the files of their input sandboxes."""

from collections.abc import Sequence
from glob import glob
from pathlib import Path

from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.decoding.complaints import short

from ...workflows.jdl.errors import BadJdl
from ...workflows.jdl.grammar import BYTES_MAX
from ...workflows.jdl.translation import JdlFile, SandboxFile, translated
from ..errors import BadDescription
from ..files import LocalFile, clash_in
from .job_files import Draft


def text_of(path: Path) -> str:
    """Return the text of a description. Raises BadDescription."""
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            raise BadDescription([f"{path}: has more than {BYTES_MAX} bytes"])
        return content.decode()
    except OSError as why:
        raise BadDescription([f"{path}: {why.strerror or why}"]) from None
    except UnicodeDecodeError:
        raise BadDescription([f"{path}: is not UTF-8 text"]) from None


def drafts_of(
    text: str, where: str, context: JdlContext, folder: Path
) -> tuple[JdlFile, list[Draft]]:
    """Return the jobs of a description, with the local files of each.

    Relative names of files begin in `folder`. Raises BadDescription with all mistakes, missing
    files among them.
    """
    try:
        read = translated(text, where, context)
        known: dict[str, list[Path]] = {}
        drafts = [Draft(one.job, _files(read, one.sandbox, folder, known)) for one in read.jobs]
        read.mistakes.check()
    except BadJdl as why:
        raise BadDescription(why.lines) from None
    return read, drafts


def _files(
    read: JdlFile, entries: Sequence[SandboxFile], folder: Path, known: dict[str, list[Path]]
) -> tuple[LocalFile, ...]:
    found: list[tuple[SandboxFile, Path]] = []
    for entry in entries:
        if entry.text not in known:
            known[entry.text] = _paths(folder, entry.text)
        if not known[entry.text]:
            why = f"InputSandbox: there is no file {short(entry.text)!r} in {folder}"
            read.mistakes.add(entry.at, why)
        found += [(entry, path) for path in known[entry.text]]
    clash = clash_in((f"{entry.at} {path}", path.name) for entry, path in found)
    if clash is not None:
        first, second = (one.partition(" ")[2] for one in clash)
        why = f"InputSandbox: {first} and {second} would have the same name in the job's folder"
        read.mistakes.add(int(clash[1].partition(" ")[0]), why)
    return tuple(LocalFile(path) for _, path in found)


def _paths(folder: Path, text: str) -> list[Path]:
    """Return what an entry stands for: the file of this name, else all that match the pattern."""
    path = folder / text
    if path.exists():
        return [path]
    return [folder / one for one in sorted(glob(text, root_dir=folder))]
