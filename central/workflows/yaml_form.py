"""Our own form of workflows in YAML: steps by name, parameters, and one step for many.

`for` repeats a step for each of some values. `{name}` of such a value, or of a parameter, is
replaced first, unless a port of the step has this name. Other braces are left for the tasks.
"""

import itertools
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from pilotage.proto.catalogue import BadCatalogueField, KeyType, value_of_text
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath
from pilotage.proto.documents.workflow import LIST, Parameter, Source, Step, Workflow, parse_source

from . import braces, failover_rules
from .source_lines import (
    SourceText,
    WorkflowSource,
    check_words,
    converted,
    is_list,
    is_mapping,
    load_as_written,
)

_TOP: Final = (
    *("workflow", "title", "parameters", "metadata", "software", "keys", "failure_rules"),
    *("allow_partial", "reuse", "steps"),
)
_PARAMETER: Final = ("type", "value", "default", "help")
STEPS_MAX: Final = 10_000


def parse(text: SourceText, found: dict[str, Any], chosen: Mapping[str, str]) -> WorkflowSource:
    """Return the workflow in a text, with the parameters that the user chose.

    It is read, not checked. Raises BadWorkflow.
    """
    return _Reader(text, found).read(chosen)


class _Reader:
    def __init__(self, text: SourceText, found: dict[str, Any]) -> None:
        self._text, self._found = text, found
        self._written: Any = load_as_written(text)
        self._besides: dict[YamlPath, SourceText] = {}

    def read(self, chosen: Mapping[str, str]) -> WorkflowSource:
        found = self._found
        check_words(self._text, found, _TOP, ())
        for word in ("workflow", "steps"):
            if word not in found:
                raise self._text.wrong((), f"`{word}` is missing")
        parameters = self._parameters(chosen)
        values = {name: one.value for name, one in parameters.items() if one.value is not None}
        drafts = dict(self._drafts(values))
        for name, (place, draft) in drafts.items():
            self._link(name, place, draft, tuple(drafts))
        steps = {
            name: converted(self._text, _with_part(draft), Step, place, step=name)
            for name, (place, draft) in drafts.items()
        }
        self._check_files(steps, {name: place for name, (place, _) in drafts.items()})
        rest: dict[str, Any] = {
            word: self._filled(found[word], values, (word,))
            for word in ("title", "metadata", "software", "keys", "allow_partial", "reuse")
            if word in found
        }
        if "failure_rules" in found:
            place = ("failure_rules",)
            said = self._filled(found["failure_rules"], values, place)
            rest["failure_rules"] = self._rules(said, place)
        whole = {"name": found["workflow"], "steps": dict.fromkeys(steps, _STAND_IN)}
        bare = converted(self._text, _with_part({**whole, **rest}), Workflow, ())
        workflow = Workflow(
            name=bare.name,
            title=bare.title,
            metadata=bare.metadata,
            software=bare.software,
            keys=bare.keys,
            failure_rules=bare.failure_rules,
            allow_partial=bare.allow_partial,
            reuse=bare.reuse,
            parameters=parameters,
            steps=steps,
        )
        places = {name: place for name, (place, _) in drafts.items()}
        return WorkflowSource(workflow, self._text, places, besides=self._besides)

    def _rules(self, said: Any, place: YamlPath, *, step: str = "") -> dict[str, Any]:
        """Return failover rules, and remember the file that has them."""
        rules, beside = failover_rules.as_set(self._text, said, place, step=step)
        if beside is not None:
            self._besides[place] = beside
        return rules

    # -- parameters ------------------------------------------------------------------------------

    def _parameters(self, chosen: Mapping[str, str]) -> dict[str, Parameter]:
        given: Any = self._found.get("parameters") or {}
        if not is_mapping(given):
            raise self._text.wrong(("parameters",), "expected names with values")
        found: dict[str, Parameter] = {}
        for name, said in given.items():
            place: YamlPath = ("parameters", str(name))
            if is_mapping(said):
                check_words(self._text, said, _PARAMETER, place)
                entry = {"value": said.get("default"), **said}
                entry.pop("default", None)
            else:
                entry = {"value": said}
            found[str(name)] = converted(self._text, entry, Parameter, place)
        for name, word in chosen.items():
            if name not in found:
                raise self._text.wrong(("parameters",), unknown(name, found, what="parameter"))
            value = self._chosen(name, word, found[name])
            found[name] = Parameter(type=found[name].type, value=value, help=found[name].help)
        return found

    def _chosen(self, name: str, word: str, parameter: Parameter) -> Any:
        """Return a typed word in the type of the parameter, or of its default."""
        before = parameter.value
        inner = parameter.type.removesuffix(LIST)
        if parameter.type.endswith(LIST) or is_list(before):
            first = before[0] if is_list(before) and before else None
            return [self._typed(name, one, inner, first) for one in word.split(",")]
        return self._typed(name, word, inner, before)

    def _typed(self, name: str, word: str, kind: str, before: Any) -> Any:
        kinds = {"string": KeyType.STRING, "integer": KeyType.NUMBER, "number": KeyType.NUMBER}
        wanted = kinds.get(kind) or (KeyType.BOOLEAN if kind == "boolean" else None)
        if wanted is None and isinstance(before, str):
            wanted = KeyType.STRING
        elif wanted is None and isinstance(before, bool):
            wanted = KeyType.BOOLEAN
        elif wanted is None and isinstance(before, (int, float)):
            wanted = KeyType.NUMBER
        try:
            return value_of_text(word, wanted, name)
        except BadCatalogueField as why:
            raise self._text.wrong(("parameters", name), f"{why}") from None

    # -- steps -----------------------------------------------------------------------------------

    def _drafts(self, values: Mapping[str, Any]) -> Iterator[tuple[str, tuple[YamlPath, Any]]]:
        """Yield each step by name, with its place and its plain values."""
        given = self._found["steps"]
        if not is_mapping(given) or not given:
            raise self._text.wrong(("steps",), "expected steps by their names")
        seen: set[str] = set()
        for written, said in given.items():
            place: YamlPath = ("steps", str(written))
            if not is_mapping(said):
                raise self._text.wrong(place, "expected a step: a mapping with at least `job`")
            said = self._short_forms(said, place)
            ports: Any = said["inputs"] if is_mapping(said.get("inputs")) else {}
            for row in self._rows(said, values, place):
                known = {**values, **row}
                name = braces.as_text(self._filled(str(written), known, place))
                converted(self._text, {"step": name, "port": "x"}, Source, place)
                if name in seen:
                    raise self._text.wrong(place, f"there are two steps with the name {name}")
                if len(seen) >= STEPS_MAX:
                    raise self._text.wrong(place, f"there are more than {STEPS_MAX} steps")
                seen.add(name)
                rest = {key: value for key, value in said.items() if key != "for"}
                inside = {key: value for key, value in known.items() if key not in ports}
                filled = self._filled(rest, inside, place)
                _as_words(filled["job"])
                if "failure_rules" in filled:
                    at = (*place, "failure_rules")
                    filled["failure_rules"] = self._rules(filled["failure_rules"], at, step=name)
                if filled.get("tasks") == 0:  # a step without `tasks` has 0 elsewhere
                    at = (*place, "tasks")
                    raise self._text.wrong(at, "found 0, expected at least 1", step=name)
                yield name, (place, filled)

    def _rows(
        self, said: Mapping[str, Any], values: Mapping[str, Any], place: YamlPath
    ) -> list[dict[str, Any]]:
        """Return the rows of values that a step is repeated for."""
        if "for" not in said:
            return [{}]
        at = (*place, "for")
        given = self._filled(said["for"], values, at)
        if is_mapping(given) and given:
            for name, each in given.items():
                if not is_list(each) or not each:
                    raise self._text.wrong((*at, str(name)), "expected a list of values")
            rows = [
                dict(zip(map(str, given), row, strict=True))
                for row in itertools.islice(itertools.product(*given.values()), STEPS_MAX + 1)
            ]
        elif is_list(given) and given and all(map(is_mapping, given)):
            rows = [{str(key): value for key, value in row.items()} for row in given]
            for i, row in enumerate(rows):
                if row.keys() != rows[0].keys():
                    names = ", ".join(rows[0])
                    raise self._text.wrong(
                        (*at, i), f"expected the same names as in the first: {names}"
                    )
        else:
            raise self._text.wrong(at, "expected names with lists of values, or a list of mappings")
        for row in rows:
            for name, value in row.items():
                if is_mapping(value) or value is None:
                    raise self._text.wrong((*at, name), f"expected a text or a number for {name}")
        return rows

    def _short_forms(self, said: dict[str, Any], place: YamlPath) -> dict[str, Any]:
        """Return a step with the short forms written out."""
        step = dict(said)
        written = self._written["steps"][place[-1]]
        step["job"] = self._job(step.get("job"), written.get("job"), (*place, "job"))
        if is_mapping(step.get("inputs")):
            step["inputs"] = {
                port: {"from": one} if isinstance(one, str) or is_list(one) else one
                for port, one in step["inputs"].items()
            }
        if is_mapping(step.get("outputs")):
            step["outputs"] = {port: _output(one) for port, one in step["outputs"].items()}
        grouping = step.get("grouping")
        if isinstance(grouping, str) and not braces.alone(grouping):
            step["grouping"] = {"rule": grouping}
        elif isinstance(grouping, (int, str)) and not isinstance(grouping, bool):
            step["grouping"] = {"size": grouping}
        for word in ("scatter", "gather"):
            if isinstance(step.get(word), str):
                step[word] = [step[word]]
        return step

    def _job(self, given: Any, written: Any, place: YamlPath) -> Any:
        if not is_mapping(given):
            raise self._text.wrong(place, "expected a mapping with at least `command`")
        job = dict(given)
        if isinstance(job.get("command"), str):
            raise self._text.wrong((*place, "command"), "expected a list of words: [echo, hello]")
        for word in ("command", "environment"):  # [sleep, 10] is two words, and 007 stays 007
            found = job.get(word)
            values = list(found.values()) if is_mapping(found) else found
            if not is_list(values):
                continue
            for i, one in enumerate(values):
                if is_mapping(one):
                    inner = "{" + ", ".join(map(str, one)) + "}"
                    at = (*place, word, i)
                    raise self._text.wrong(at, f"quote it: '{inner}' is a mapping in YAML")
            job[word] = written[word]
        if is_mapping(job.get("needs")):
            job["needs"] = [job["needs"]]
        return job

    def _filled(self, found: Any, values: Mapping[str, Any], place: YamlPath) -> Any:
        """Return plain values with parameters filled in."""
        if isinstance(found, str):
            try:
                return braces.fill(found, values)
            except braces.BadBraces as why:
                raise self._text.wrong(place, str(why)) from None
        if is_list(found):
            filled: list[Any] = []
            for i, one in enumerate(found):
                inner = self._filled(one, values, (*place, i))
                filled += inner if isinstance(one, str) and is_list(inner) else [inner]
            return filled
        if is_mapping(found):
            return {
                key: self._filled(one, values, (*place, str(key))) for key, one in found.items()
            }
        return found

    # -- links -----------------------------------------------------------------------------------

    def _link(self, name: str, place: YamlPath, draft: Any, names: tuple[str, ...]) -> None:
        """Write the sources of a step as steps and ports; `*` in a step's name means all."""
        inputs = draft.get("inputs")
        if not is_mapping(inputs):
            return
        for port, given in inputs.items():
            if not is_mapping(given) or "from" not in given:
                continue
            at = (*place, "inputs", str(port), "from")
            said = given["from"] if is_list(given["from"]) else [given["from"]]
            found: list[dict[str, str]] = []
            for one in said:
                source = parse_source(one) if isinstance(one, str) else None
                step, dot, output = str(one).partition(".")
                if source is None and dot and ("*" in step or "?" in step):
                    wild = [other for other in names if fnmatchcase(other, step) and other != name]
                    if not wild:
                        raise self._text.wrong(at, f"no step matches {step}", step=name)
                    found += [{"step": other, "port": output} for other in wild]
                elif source is None:
                    why = f"expected STEP.OUTPUT, found {one!r}"
                    raise self._text.wrong(at, why, step=name)
                else:
                    found.append({"step": source.step, "port": source.port})
            given["from"] = found

    def _check_files(self, steps: Mapping[str, Step], places: Mapping[str, YamlPath]) -> None:
        for name, step in steps.items():
            for i, file in enumerate(step.files):
                path = self._text.folder / file
                if not path.is_file():
                    place = (*places[name], "files", i)
                    raise self._text.wrong(place, f"there is no file {path}", step=name)


_STAND_IN: Final = {"job": {"command": ["true"]}}  # for a step that has been read by itself


def _output(said: Any) -> Any:
    """Return an output with the short forms of a pattern and of `sets` written out."""
    if isinstance(said, str):
        return {"pattern": said}
    if not is_mapping(said):
        return said
    sets: Any = said.get("sets")
    if isinstance(sets, str):
        sets = [sets]
    if is_list(sets):
        sets = {str(key): list[Any]() for key in sets}
    elif is_mapping(sets):
        sets = {key: one if is_list(one) else [one] for key, one in sets.items()}
    return {**said, "sets": sets} if "sets" in said else said


def _as_words(job: Any) -> None:
    """Write numbers from parameters as texts."""
    if is_list(job.get("command")):
        job["command"] = [_word(one) for one in job["command"]]
    if is_mapping(job.get("environment")):
        job["environment"] = {name: _word(one) for name, one in job["environment"].items()}


def _word(value: Any) -> Any:
    return braces.as_text(value) if isinstance(value, (int, float)) else value


def _with_part(found: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping with `allow_partial: 25%` as 0.25; other values stay."""
    said = found.get("allow_partial")
    if not (isinstance(said, str) and said.endswith("%")):
        return found
    try:
        return {**found, "allow_partial": float(said.removesuffix("%")) / 100}
    except ValueError:
        return found
