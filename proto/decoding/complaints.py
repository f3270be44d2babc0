"""Messages about mistakes in a document, for readers who do not know Python types. Pure.

The decoder writes "Expected `int` <= 10 - at `$.priority`". A user reads "priority: expected a
whole number from 0 to 10" instead. The central and its clients use the same words.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
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
_KEYS_MAX: Final = 4  # a mapping with more keys is not described by them
_LISTED_MAX: Final = 12  # if there are more words, the message names only the nearest one
_PINNED_BYTES_MAX = 65_536  # in larger messages, the key within a mapping is not searched for

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
_UNQUOTED: Final = ("int", "float", "bool")  # types that YAML reads into texts without quotes
_SIGNS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
# Patterns that the code below cannot describe, in words.
_PATTERNS: Final = {
    SITE_OR_ELEMENT: "the form SITE or SITE/ELEMENT, as in PIC or PIC/htcondor",
    whole("[0-9a-f]{64}"): "64 hexadecimal digits",
    whole(r"/[^\x00-\x1f]*"): "an absolute path, without line ends and control characters",
    whole("([0-9]{1,9}([.][0-9]{1,9}){0,4})?"): "numbers with points between them, as in 2.34",
    whole("[ -~]{1,512}"): "1 to 512 printable characters of ASCII",
    whole("[!#-\\[\\]-~]{1,256}"): "1 to 256 letters of ASCII without blanks, quotes, backslashes",
}
_LETTERS = re.compile(  # one character set for all, after an optional slash or first character set
    re.escape(whole("X")).replace(
        "X",
        r"(?P<maybe>\()?(?P<slash>/)?(?P<first>\[[A-Za-z0-9._/-]+\])?"
        r"\[(?P<of>[A-Za-z0-9._:/@+=,-]+)\](\*|\+|\{0,(?P<most>\d+)\})?(?(maybe)\)\?)",
    )
)
_SETS: Final = {"A-Za-z": "letters", "a-z": "small letters", "0-9": "digits"}
# The units of numbers and usual values, by the end of a field's name; the first match counts.
_UNITS: Final = {
    "_hs23_s": ("HS23 seconds", 1_000_000),
    "_mb_per_s": ("MB per second", 1_000),
    "_mb": ("MB", 2_000),
    "_bytes": ("bytes", 1_000_000),
    "_days": ("days", 30),
    "_s": ("seconds", 3_600),
}
_ELSEWHERE_CUTOFF: Final = 0.6  # similarity of a wrong field to a field of another part


@dataclass(frozen=True)
class Complaint:
    """A mistake in one part of a message."""

    path: str  # `$.needs[0].tags`
    message: str


def complaint(
    why: object,
    kind: Any,
    data: bytes | memoryview | msgspec.Raw = b"",
    *,
    value_at: Callable[[str], str | None] | None = None,
) -> Complaint:
    """Return the decoder's error about a `kind` in words.

    `data` (JSON), or `value_at` for other formats, gives the value at the wrong path.
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
        here = next((arm.key_type for arm in arms(here) if isinstance(arm, inspect.DictType)), here)
    value = value_at(path) if value_at is not None else _value_at(data, path)
    keys = "" if path == "$" else _keys(here)
    return Complaint(path, _sentence(what, here, value, _unit(kind, path), keys))


def as_json(value: Any) -> bytes:
    """Return plain values as JSON for `complaint`; empty if JSON cannot hold them."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError):
        return b""


def steps(path: str) -> list[str]:
    """Return the names and indices of a path."""
    return [name or index or key for name, index, key in _STEP.findall(path)]


def short(text: str) -> str:
    """Return a text, shortened to fit into a message."""
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def _sentence(
    what: str,
    here: inspect.Type,
    value: str | None,
    unit: tuple[str, int] | None,
    keys: str,
) -> str:
    shown = "" if value is None else f", found {value}"
    found = _EXPECTED.match(what)
    if found is None:
        word = what.replace("Invalid enum value", "unknown word")
        return word + _words_of(here, value) if word != what else word
    number = number_type(here)
    if unit is not None and number is not None and found["got"] == "str":
        noun = _NOUNS["int" if isinstance(number, inspect.IntType) else "float"]
        got = "text" if value is None else "'" + value.strip('"') + "'"
        return f"expected {noun} of {unit[0]}, such as {_example(number, unit[1])}; got {got}"
    of_unit = f" of {unit[0]}" if unit is not None and number is not None else ""
    right = _range(here, of_unit) or (
        _noun(found["right"]) + of_unit + _rule(found["rule"], found["right"], here)
    )
    if found["right"] == "object":
        right += keys
    got = f", got {_noun(found['got'])}" if found["got"] else ""
    if value is not None and found["got"] in _UNQUOTED and "str" in found["right"].split(" | "):
        return f'expected {right}{got}: write it in quotes, "{value}"'
    return f"expected {right}{got}{shown}"


def _range(here: inspect.Type, of_unit: str) -> str:
    """Return the range of a number if it has both bounds, else an empty text."""
    for arm in arms(here):
        if isinstance(arm, inspect.IntType) and arm.ge is not None and arm.le is not None:
            return f"a whole number{of_unit} from {arm.ge} to {arm.le}"
        if isinstance(arm, inspect.FloatType) and arm.ge is not None and arm.le is not None:
            return f"a number{of_unit} from {_plain(arm.ge)} to {_plain(arm.le)}"
    return ""


def _keys(here: inspect.Type) -> str:
    """Return the keys of a mapping, to append to a message, if they are few and known."""
    holder = _object(here)
    names = [one.encode_name for one in holder.fields] if holder is not None else []
    return f" with {', '.join(names)}" if 0 < len(names) <= _KEYS_MAX else ""


def number_type(here: inspect.Type) -> inspect.IntType | inspect.FloatType | None:
    """Return the type of a number that may also be null; None if texts and others are right too."""
    kinds = [arm for arm in arms(here) if not isinstance(arm, inspect.NoneType)]
    if len(kinds) == 1 and isinstance(kinds[0], inspect.IntType | inspect.FloatType):
        return kinds[0]
    return None


def _unit(kind: Any, path: str) -> tuple[str, int] | None:
    """Return the unit of the field at `path` and a usual value, from the end of its name."""
    before, _, name = path.rpartition(".")
    holder = _object(_at(kind, before)) if before else None
    if holder is None or all(one.encode_name != name for one in holder.fields):
        return None
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), None)


def _example(number: inspect.IntType | inspect.FloatType, usual: int) -> str:
    """Return the usual value, or the bound of the number that is nearest to it."""
    low = usual if number.ge is None else max(usual, number.ge)
    return _plain(low if number.le is None else min(low, number.le))


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
    """Return a pattern without the parts that `whole` puts around it."""
    around = whole("X").split("X")
    return pattern.removeprefix(around[0]).removesuffix(around[1])


def _letters(pattern: str) -> str:
    """Return the characters that a pattern allows, in words; empty if it is not so simple."""
    found = _LETTERS.fullmatch(pattern)
    if found is None:
        return ""
    left, words = found["of"], list[str]()
    for letters, word in _SETS.items():
        if letters in left:
            words.append(word)
            left = left.replace(letters, "")
    text = ", ".join(words) + (f" and {' '.join(left)} only" if left else " only")
    if found["slash"]:
        return f"an absolute path, of {text}"
    most = int(found["most"] or 0) + bool(found["first"])
    return f"{text}, at most {most}" if found["most"] else text


def _noun(kinds: str) -> str:
    words = kinds.split(" | ")
    if "float" in words and "int" in words:
        words.remove("int")
    return " or ".join(_NOUNS.get(one, one) for one in words)


def _unknown_field(name: str, path: str, kind: Any) -> Complaint:
    holder = _object(_at(kind, path))
    known = [one.encode_name for one in holder.fields] if holder is not None else []
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    other = elsewhere(name, _parts(holder), instead_of=near[0] if near else "")
    right = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    text = f"there is no field {short(name)!r}; {other or right}"
    return Complaint(f"{path}.{short(name)}", text)


def elsewhere(name: str, parts: Mapping[str, Iterable[str]], *, instead_of: str = "") -> str:
    """Return a hint if `name` is, or resembles, a field of a part of the document; else "".

    `parts` holds the fields of each part, by the part's own field. The hint is given only if the
    name resembles the field more than it resembles `instead_of`.
    """
    wanted = short(name).lower()
    least = max(_ELSEWHERE_CUTOFF, _likeness(wanted, instead_of.lower()))
    best, place = 0.0, ""
    for part, fields in parts.items():
        for field in fields:
            if (likeness := _likeness(wanted, field)) > best:
                best, place = likeness, f"{part}.{field}"
    if best <= least:
        return ""
    part = place.partition(".")[0]
    right = f"write `{place}`" if best == 1 else f"did you mean `{place}`?"
    return f"it belongs in `{part}`: {right}"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio() if other else 0.0


def _parts(holder: inspect.StructType | inspect.DataclassType | None) -> dict[str, list[str]]:
    """Return the fields of the parts of a document, by the field that holds the part."""
    parts: dict[str, list[str]] = {}
    for field in holder.fields if holder is not None else ():
        inner = [
            arm.item_type if isinstance(arm, inspect.ListType | inspect.VarTupleType) else arm
            for arm in arms(field.type)
        ]
        for found in map(_object, inner):
            if found is not None:
                parts[field.encode_name] = [one.encode_name for one in found.fields]
    return parts


def _value_at(data: bytes | memoryview | msgspec.Raw, path: str) -> str | None:
    """Return the JSON at `path`, shortened; None if the path is not exact."""
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
    """Return the path with the key of the mapping in place of `[...]`, if the key can be found."""
    before, unknown, after = path.partition("[...]")
    if not unknown or not 0 < len(bytes(data)) <= _PINNED_BYTES_MAX:
        return path
    try:
        key = _guilty_key(msgspec.json.decode(bytes(data)), kind, path, steps(before))
    except (msgspec.DecodeError, RecursionError, LookupError, TypeError, ValueError):
        return path  # the JSON is cut off or has a key twice
    step = f".{key}" if _PLAIN_KEY.fullmatch(key) else f'["{key}"]'
    return f"{before}{step}{after}"


def _guilty_key(value: Any, kind: Any, path: str, where: list[str]) -> str:
    """Return the key of the mapping at `where` that makes the decoder refuse `value` at `path`."""
    mapping = value
    for step in where:
        mapping = mapping[int(step) if step.isdigit() else step]
    entries = dict(mapping)
    keys: list[str] = list(entries)
    while len(keys) > 1:  # bisect: keep the half that is refused in the same way
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
    """Return the words of an enum, to append to a message; if there are many, only the nearest."""
    for arm in arms(here):
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
    for arm in arms(here):
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
    for arm in arms(here):
        if isinstance(arm, inspect.StructType | inspect.DataclassType):
            return arm
    return None


def arms(here: inspect.Type) -> tuple[inspect.Type, ...]:
    """Return the types of a union, without their metadata; else the type itself."""
    while isinstance(here, inspect.Metadata):
        here = here.type
    if isinstance(here, inspect.UnionType):
        return tuple(inner for arm in here.types for inner in arms(arm))
    return (here,)


def _described(here: inspect.Type) -> str:
    """Return the description beside the pattern of a type; empty if it has none."""
    while isinstance(here, inspect.Metadata):
        said = cast(dict[str, object], here.extra_json_schema or {}).get("description")
        if said:
            return str(said)
        here = here.type
    kinds = here.types if isinstance(here, inspect.UnionType) else ()
    return next((said for arm in kinds if (said := _described(arm))), "")
