"""Reads the values of keys in CTADIRAC's form of workflows, by the rules of element types."""

import shlex
from collections.abc import Mapping
from typing import Any

from pilotage.proto.catalogue import BadCatalogueField, KeyType, Value, checked_value
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.decoding.strict_yaml import YamlPath

from .cta_types import KeyRule, TypesFile
from .simpipe_config import BadSimPipeConfig, values_of
from .source_lines import SourceText, is_list, is_mapping, load_values, read_text


class ValueReader:
    """Reads values, and tells faults with their line."""

    def __init__(self, text: SourceText, types: TypesFile) -> None:
        self._text, self._types = text, types

    def config(
        self, given: Mapping[str, Any], rules: Mapping[str, KeyRule], place: YamlPath, step: str
    ) -> dict[str, Any]:
        """Return the values of keys, with defaults for missing ones. Raises BadWorkflow."""
        found: dict[str, Any] = {}
        for key, rule in rules.items():
            value = given.get(key)
            if value is None or (rule.kind == "list" and value in ("", [])):
                if rule.required:
                    why = f"the key `{key}` is missing"
                    raise self._text.wrong(place, why, step=step)
                value = rule.empty if key in given and rule.empty is not None else rule.default
                if value is not None:
                    found[key] = value
                continue
            found[key] = self._typed(rule, value, (*place, key), step)
            if rule.fills == "simpipe":
                found |= self._simpipe(found[key], (*place, key), step)
        for key, rule in rules.items():
            if key in found and found[key] != rule.empty:
                for other, end in rule.appends.items():
                    found[other] = found[other].removesuffix(end) + end
        return found

    def conditions(self, said: Mapping[str, Any], place: YamlPath, step: str) -> dict[str, Any]:
        """Return the query of an `input_meta_query`. Raises BadWorkflow."""
        found: dict[str, Any] = {}
        for key, value in said.items():
            rule = self._types.shortcuts.get(key)
            if rule is None:
                known = {*self._types.keys, *self._types.shortcuts, "parentID", "dataset"}
                if key not in known:
                    raise self._text.wrong((*place, key), unknown(key, known), step=step)
                found[key] = self._condition(key, value)
                continue
            typed = self._typed(rule, value, (*place, key), step)
            each = typed if is_list(typed) else [typed]
            for one in each:
                if rule.values and str(one) not in rule.values:
                    why = unknown(str(one), rule.values, what="value")
                    raise self._text.wrong((*place, key), why, step=step)
            values = [self.metadata(rule, one, (*place, key)) for one in each]
            found[rule.metadata] = values[0] if len(values) == 1 else {"in": values}
        return found

    def metadata(self, rule: KeyRule, value: Any, place: YamlPath) -> Value:
        """Return the metadata value for a value of a key. Raises BadWorkflow."""
        if rule.is_path:
            value = "_".join(str(value).rstrip("/").split("/")[1:])
        try:
            return checked_value(rule.values.get(str(value), value), str(place[-1]))
        except BadCatalogueField as why:
            raise self._text.wrong(place, f"expected {why.right}, found {value!r}") from None

    def _condition(self, key: str, value: Any) -> Any:
        """Return a condition; a value of a text key becomes a text, as in CTADIRAC."""
        if is_mapping(value):
            return {word: self._condition(key, one) for word, one in value.items()}
        if is_list(value):
            inner = [self._plain(key, one) for one in value]
            return {"in": inner}
        return self._plain(key, value)

    def _plain(self, key: str, value: Any) -> Any:
        return str(value) if self._types.keys[key] is KeyType.STRING else value

    def _typed(self, rule: KeyRule, value: Any, place: YamlPath, step: str) -> Any:
        """Return a value of the kind of its rule; texts are as Python writes the value."""
        if rule.kind == "words":
            try:
                return [str(one) for one in value] if is_list(value) else shlex.split(str(value))
            except ValueError as why:
                raise self._text.wrong(place, f"{value!r}: {why}", step=step) from None
        if rule.kind == "list":
            parts: Any = value if is_list(value) else str(value).split(",")
            found = [str(one).strip() for one in parts]
            for one in found:
                self._one_of(rule.one_of, one, place, step)
            self._one_of(rule.flags, ", ".join(found), place, step)
            return found
        if rule.kind == "text":
            if is_list(value) or is_mapping(value):
                raise self._text.wrong(place, f"expected a text, found {value!r}", step=step)
            self._one_of(rule.one_of, str(value), place, step)
            self._one_of(rule.flags, str(value), place, step)
            return str(value)
        kinds: Any = {"integer": int, "number": (int, float), "boolean": bool}[rule.kind]
        if not isinstance(value, kinds) or isinstance(value, bool) is not (rule.kind == "boolean"):
            words = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
            right = f"expected {words[rule.kind]}, found {value!r}"
            raise self._text.wrong(place, right, step=step)
        return value

    def _one_of(self, known: Any, value: str, place: YamlPath, step: str) -> None:
        if known and value not in known:
            raise self._text.wrong(place, unknown(value, known, what="value"), step=step)

    def _simpipe(self, name: str, place: YamlPath, step: str) -> dict[str, Any]:
        path = self._text.folder / name
        if not path.is_file():
            raise self._text.wrong(place, f"there is no file {path}", step=step)
        found = load_values(read_text(path))
        if not is_mapping(found):
            raise self._text.wrong(place, f"{name}: expected a mapping", step=step)
        try:
            return values_of(found)
        except BadSimPipeConfig as why:
            raise self._text.wrong(place, f"{name}: {why}", step=step) from None
