"""Transformation files in YAML or JSON. Mistakes are reported with their line.

The job may be simpler than in the API, as in job files: `needs` as one mapping, outputs as
patterns, and numbers in a command.
"""

from pathlib import Path
from typing import Any

import msgspec

from pilotage.proto.decoding.complaints import MISSING, as_json, complaint
from pilotage.proto.decoding.strict_yaml import line_of
from pilotage.proto.decoding.typed_quantities import convert
from pilotage.proto.documents.transformation import Transformation

from ..errors import BadJobFile
from .job_files import place_of
from .yaml_text import as_list, as_mapping, load, load_as_written


def read_transformation_file(path: Path) -> Transformation:
    """Read a file. Raises BadJobFile with the line, the mistake and the remedy."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as why:
        reason = why.strerror if isinstance(why, OSError) else "it is not UTF-8 text"
        raise BadJobFile(str(path), None, "", str(reason)) from None
    return parse_transformation(text, str(path))


def parse_transformation(text: str, where: str) -> Transformation:
    """Return the transformation in `text`. Raises BadJobFile."""
    found = as_mapping(load(text, where))
    if not found:
        raise BadJobFile(where, None, "", "expected a mapping with at least `name` and `job`")
    if "steps" in found:
        why = f"it is a workflow, not a transformation: use `pilotage prod submit {where}`"
        raise BadJobFile(where, None, "", why)
    job = as_mapping(found.get("job"))
    if job is not None:
        words = as_mapping(load_as_written(text)) or {}
        found = {**found, "job": _neutral(job, as_mapping(words.get("job")) or {})}
    try:
        return convert(found, Transformation, short_keys=True)
    except msgspec.ValidationError as why:
        mistake = complaint(why, Transformation, as_json(found))
        place = place_of(mistake.path)
        shown = mistake.path.removeprefix("$").removeprefix(".")
        if mistake.message == MISSING:
            line = line_of(text, place[:-1])
            raise BadJobFile(where, line, "", f"the key `{shown}` is missing") from None
        raise BadJobFile(where, line_of(text, place), shown, mistake.message) from None


def place_in_file(path: Path, field: str) -> str:
    """Return FILE:LINE of a refused field; only FILE if the line is unknown.

    `field` is the name from the central, such as `document.inputs[0].on.rn`.
    """
    try:
        place = place_of(field.removeprefix("$.").removeprefix("document."))
        line = line_of(path.read_text(), place) if place else None
    except (OSError, UnicodeDecodeError):
        line = None
    return str(path) if line is None else f"{path}:{line}"


def _neutral(job: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    """Return a job in the form of the API, with its words as they are written."""
    made = dict(job)
    command = as_list(job.get("command"))
    if command is not None:
        texts = as_list(written.get("command")) or []
        made["command"] = [
            text if isinstance(word, int | float) and isinstance(text, str) else word
            for word, text in zip(command, texts, strict=False)
        ]
    environment = as_mapping(job.get("environment"))
    if environment is not None:
        texts_of = as_mapping(written.get("environment")) or {}
        made["environment"] = {
            key: texts_of.get(key) if isinstance(value, int | float) else value
            for key, value in environment.items()
        }
    if isinstance(job.get("needs"), dict):
        made["needs"] = [job["needs"]]
    made |= _patterns(job)
    data = as_mapping(job.get("data"))
    if data is not None:
        made["data"] = {**data, **_patterns(data)}
    return made


def _patterns(found: dict[str, Any]) -> dict[str, Any]:
    outputs = as_list(found.get("outputs"))
    if outputs is None:
        return {}
    return {"outputs": [{"pattern": one} if isinstance(one, str) else one for one in outputs]}
