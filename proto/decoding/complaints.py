"""What is wrong with a message, in words for people who know no types. Pure.

The decoder says "Expected `int` <= 10 - at `$.priority`"; a person wants to read "priority:
expected a whole number from 0 to 10". The central and its clients say it in the same words.
"""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from .patterns import SITE_OR_ELEMENT, whole

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`(?P<path>\$.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>.*)`", re.DOTALL)
_EXPECTED = re.compile(r"^Expected `(?P<right>[^`]*)`(?P<rule>.*?)(?:, got `(?P<got>[^`]*)`)?$")
_RULE = re.compile(r"^ ?(?P<of>of length )?(?P<sign>>=|<=|>|<) (?P<bound>[0-9.e+-]+)$")
_CHOICE = re.compile(re.escape(whole("X")).replace("X", r"\(([\w|]+)\)"))
_STEP = re.compile(r'\.([^.\[\]]+)|\[(\d+|\.\.\.)\]|\["([^"]+)"\]')
_PLAIN_KEY = re.compile(r"[^.\[\]]+")
_SHOWN_MAX = 80
_LISTED_MAX: Final = 12  # words; of more, the one that is near says more than all of them
_PINNED_BYTES_MAX = 65_536  # of larger messages the key within a mapping is not looked for

MISSING: Final = "is required and missing"

_NOUNS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_UNQUOTED: Final = ("int", "float", "bool")  # what a text is easily taken for
_SIGNS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
# The patterns of our messages whose form does not say it, as one would say them.
_PATTERNS: Final = {
    SITE_OR_ELEMENT: "the form SITE or SITE/ELEMENT, as in PIC or PIC/htcondor",
    whole("[0-9a-f]{64}"): "64 hexadecimal digits",
    whole(r"/[^\x00-\x1f]*"): "a path from / on, without line ends and their like",
    whole("([0-9]{1,9}([.][0-9]{1,9}){0,4})?"): "numbers with points between them, as in 2.34",
}
_LETTERS = re.compile(  # a set of letters for all, behind another one for the first, or a slash
    re.escape(whole("X")).replace(
        "X",
        r"(?P<maybe>\()?(?P<slash>/)?(?P<first>\[[A-Za-z0-9._/-]+\])?"
        r"\[(?P<of>[A-Za-z0-9._:/@+=,-]+)\](\*|\+|\{0,(?P<most>\d+)\})?(?(maybe)\)\?)",
    )
)
_SETS: Final = {"A-Za-z": "letters", "a-z": "small letters", "0-9": "digits"}


@dataclass(frozen=True)
class Complaint:
    """What is wrong with one part of a message."""

    path: str  # `$.needs[0].tags`
    message: str


def complaint(
    why: object,
    kind: Any,
    data: bytes | memoryview | msgspec.Raw = b"",
    *,
    value_at: Callable[[str], str | None] | None = None,
) -> Complaint:
    """Return what the decoder says of a `kind` in words.

    `data` (JSON), or `value_at` for other forms, adds the value that stands at a path.
    """
    found = _WHERE.match(str(why))
    what = found["what"] if found else str(why)
    path = (found["path"] if found else None) or "$"
    unknown = _UNKNOWN.search(what)
    if unknown is not None:
        return _unknown_field(unknown["name"], path, kind)
    missing = _MISSING.search(what)
    if missing is not None:
        return Complaint(f"{path}.{missing['name']}", MISSING)
    path = _pinned(path, kind, data)
    here = _at(kind, path)
    if found is not None and found["key"]:
        here = next(
            (arm.key_type for arm in _arms(here) if isinstance(arm, inspect.DictType)), here
        )
    value = value_at(path) if value_at is not None else _value_at(data, path)
    return Complaint(path, _sentence(what, here, value))


def as_json(value: Any) -> bytes:
    """Return plain values as JSON for `complaint`; empty where they are none that JSON has."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError):
        return b""


def steps(path: str) -> list[str]:
    """Return the names and indices of a path."""
    return [name or index or key for name, index, key in _STEP.findall(path)]


def short(text: str) -> str:
    """Return a text that fits into a message."""
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def _sentence(what: str, here: inspect.Type, value: str | None) -> str:
    shown = "" if value is None else f", found {value}"
    found = _EXPECTED.match(what)
    if found is None:
        word = what.replace("Invalid enum value", "unknown word")
        return word + _words_of(here, value) if word != what else word
    right = _range(here) or _noun(found["right"]) + _rule(found["rule"], found["right"], here)
    got = f", got {_noun(found['got'])}" if found["got"] else ""
    if value is not None and found["got"] in _UNQUOTED and "str" in found["right"].split(" | "):
        return f'expected {right}{got}: write it in quotes, "{value}"'
    return f"expected {right}{got}{shown}"


def _range(here: inspect.Type) -> str:
    """Return what a number may be, where both ends are known."""
    for arm in _arms(here):
        if isinstance(arm, inspect.IntType) and arm.ge is not None and arm.le is not None:
            return f"a whole number from {arm.ge} to {arm.le}"
        if isinstance(arm, inspect.FloatType) and arm.ge is not None and arm.le is not None:
            return f"a number from {_plain(arm.ge)} to {_plain(arm.le)}"
    return ""


def _plain(number: float) -> str:
    return str(number).removesuffix(".0")


def _rule(rule: str, right: str, here: inspect.Type) -> str:
    if not rule:
        return ""
    if rule.startswith(" matching regex "):
        said = _described(here)
        if said:
            return f": {said}"
        pattern = rule.removeprefix(" matching regex ").strip("'\"").replace("\\\\", "\\")
        choice = _CHOICE.fullmatch(pattern)
        if choice:
            return f": {choice[1].replace('|', ' or ')}"
        return f" of {_PATTERNS.get(pattern) or _letters(pattern) or f'the form {_bare(pattern)}'}"
    found = _RULE.match(rule)
    if found is None:
        return rule
    bound = f"{_SIGNS[found['sign']]} {found['bound'].removesuffix('.0')}"
    if not found["of"]:
        return f", {bound}"
    one = found["bound"] == "1"
    many = right in ("array", "object")
    unit = ("entry" if one else "entries") if many else f"character{'s' * (not one)}"
    return f" of {bound} {unit}"


def _bare(pattern: str) -> str:
    """Return a pattern without what `whole` puts around it."""
    around = whole("X").split("X")
    return pattern.removeprefix(around[0]).removesuffix(around[1])


def _letters(pattern: str) -> str:
    """Return the letters that a pattern allows, in words; empty where it says more than that."""
    found = _LETTERS.fullmatch(pattern)
    if found is None:
        return ""
    left, words = found["of"], list[str]()
    for letters, word in _SETS.items():
        if letters in left:
            words.append(word)
            left = left.replace(letters, "")
    said = ", ".join(words) + (f" and {' '.join(left)} only" if left else " only")
    if found["slash"]:
        return f"a path from / on, of {said}"
    most = int(found["most"] or 0) + bool(found["first"])
    return f"{said}, at most {most}" if found["most"] else said


def _noun(kinds: str) -> str:
    words = kinds.split(" | ")
    if "float" in words and "int" in words:
        words.remove("int")
    return " or ".join(_NOUNS.get(one, one) for one in words)


def _unknown_field(name: str, path: str, kind: Any) -> Complaint:
    holder = _object(_at(kind, path))
    known = [one.encode_name for one in holder.fields] if holder is not None else []
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    right = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    said = f"there is no field {short(name)!r}; {right}"
    return Complaint(f"{path}.{short(name)}", said)


def _value_at(data: bytes | memoryview | msgspec.Raw, path: str) -> str | None:
    """Return the JSON at `path`, shortened, or None where the path says too little."""
    value: Any = data
    if not bytes(data):
        return None
    for step in steps(path):
        try:
            if step.isdigit():
                value = msgspec.json.decode(value, type=list[msgspec.Raw])[int(step)]
            else:
                value = msgspec.json.decode(value, type=dict[str, msgspec.Raw])[step]
        except (msgspec.DecodeError, RecursionError, LookupError):
            return None
    return short(bytes(value).decode(errors="replace"))


def _pinned(path: str, kind: Any, data: bytes | memoryview | msgspec.Raw) -> str:
    """Return the path with the key of a mapping where the decoder says `[...]`, if it is found."""
    before, unknown, after = path.partition("[...]")
    if not unknown or not 0 < len(bytes(data)) <= _PINNED_BYTES_MAX:
        return path
    try:
        key = _guilty_key(msgspec.json.decode(bytes(data)), kind, path, steps(before))
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError, ValueError):
        return path  # it ends in the middle, or has a key twice
    step = f".{key}" if _PLAIN_KEY.fullmatch(key) else f'["{key}"]'
    return f"{before}{step}{after}"


def _guilty_key(value: Any, kind: Any, path: str, where: list[str]) -> str:
    """Return the key of the mapping at `where` for which `value` is refused at `path`."""
    mapping = value
    for step in where:
        mapping = mapping[int(step) if step.isdigit() else step]
    entries = dict(mapping)
    keys: list[str] = list(entries)
    while len(keys) > 1:  # half of them, as long as that is refused in the same way
        half = keys[: len(keys) // 2]
        mapping.clear()
        mapping.update((key, entries[key]) for key in half)
        keys = half if _refuses(value, kind, path) else keys[len(half) :]
    return keys[0]


def _refuses(value: Any, kind: Any, path: str) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError as why:
        return f"`{path}`" in str(why)
    return False


def _words_of(here: inspect.Type, value: str | None) -> str:
    """Return the words of an enum, as an addition to a message; of many only the nearest one."""
    for arm in _arms(here):
        words: list[str] = []
        if isinstance(arm, inspect.EnumType):
            words = [str(word.value) for word in arm.cls]
        if isinstance(arm, inspect.LiteralType):
            words = [str(word) or "(empty)" for word in arm.values]
        near = difflib.get_close_matches((value or "").strip('"'), words, n=1)
        if near and len(words) > _LISTED_MAX:
            return f": did you mean {near[0]!r}?"
        if words:
            return ", one of " + " ".join(words)
    return ""


def _at(kind: Any, path: str) -> inspect.Type:
    here = inspect.type_info(kind)
    for step in steps(path):
        here = _inside(here, step)
    return here


def _inside(here: inspect.Type, step: str) -> inspect.Type:
    for arm in _arms(here):
        if isinstance(arm, inspect.StructType | inspect.DataclassType):
            for one in arm.fields:
                if one.encode_name == step:
                    return one.type
        if isinstance(arm, inspect.ListType | inspect.VarTupleType):
            return arm.item_type
        if isinstance(arm, inspect.DictType):
            return arm.value_type
    return inspect.AnyType()


def _object(here: inspect.Type) -> inspect.StructType | inspect.DataclassType | None:
    for arm in _arms(here):
        if isinstance(arm, inspect.StructType | inspect.DataclassType):
            return arm
    return None


def _arms(here: inspect.Type) -> tuple[inspect.Type, ...]:
    while isinstance(here, inspect.Metadata):
        here = here.type
    if isinstance(here, inspect.UnionType):
        return tuple(inner for arm in here.types for inner in _arms(arm))
    return (here,)


def _described(here: inspect.Type) -> str:
    """Return how a type says itself what it takes: the description beside its pattern."""
    while isinstance(here, inspect.Metadata):
        said = cast(dict[str, object], here.extra_json_schema or {}).get("description")
        if said:
            return str(said)
        here = here.type
    arms = here.types if isinstance(here, inspect.UnionType) else ()
    return next((said for arm in arms if (said := _described(arm))), "")
