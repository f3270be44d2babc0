"""Sweeps whose jobs have input files of their own: the template is filled in here."""

from dataclasses import replace

from ...client.documents.job_files import Draft, FilePattern, JobFile
from ...client.files import LocalFile
from ...client.submissions.job_shapes import ParameterSet
from ...jobs.definition.rendering import fill, filled_text


def with_own_inputs(read: JobFile) -> JobFile:
    """Return a job file with a job for each entry, if paths of its inputs have parameters.

    Raises BadJobFile for a missing file or parameter.
    """
    template = read.template
    if template is None or not template.patterns:
        return read
    jobs = tuple(_filled(read, template, entry) for entry in read.parameters)
    return replace(read, jobs=jobs, template=None, parameters=())


def _filled(read: JobFile, template: Draft, entry: ParameterSet) -> Draft:
    try:
        job = fill(template.job, entry)
    except (KeyError, ValueError, IndexError) as why:
        raise read.at(("template",), _wrong(why, entry)) from None
    files = tuple(_own_file(read, one, entry) for one in template.patterns)
    return Draft(job, (*template.files, *files))


def _own_file(read: JobFile, one: FilePattern, entry: ParameterSet) -> LocalFile:
    try:
        path, name = read.folder / filled_text(one.path, entry), filled_text(one.name, entry)
    except (KeyError, ValueError, IndexError) as why:
        raise read.at(one.place, _wrong(why, entry)) from None
    if not path.exists():
        raise read.at(one.place, f"there is no file {path}")
    return LocalFile(path, name, one.unpack)


def _wrong(why: Exception, entry: ParameterSet) -> str:
    said = f"{why} is no parameter" if isinstance(why, KeyError) else str(why)
    return f"{said}: the parameters are {', '.join(entry)}"
