"""The catalogue's vocabulary: names of files, their metadata, and queries for them. Pure."""

import difflib
import enum
import fnmatch
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from .decoding.complaints import short
from .ids import ID_MAX
from .storages import PATH_BYTES_MAX

Value = str | int | float | bool  # of a metadata key; a whole number is an int (20, never 20.0)
Metadata = Mapping[str, Value]

NAME_MAX: Final = 512  # characters of a file's name inside its scope
VALUE_MAX: Final = 512  # characters of a value that is a text
KEYS_MAX: Final = 64  # of one file
CONDITIONS_MAX: Final = 64  # of one query
CHOICES_MAX: Final = 1_000  # of one condition
STORAGE_MAX: Final = 64  # characters of a storage's name
PATH_MAX: Final = 1_024  # characters of a copy's path in its storage
PUT_FOLDER: Final = "put"  # folder of a community on a storage, for files that users store
BYTES_MAX: Final = ID_MAX
DATASET_KEY: Final = "dataset"  # in a query: not metadata, but the dataset that holds the files

_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")
_STORAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_RESERVED: Final = frozenset({DATASET_KEY, "did", "scope", "name", "state", "bytes", "storage"})
_SCOPE_FORM: Final = (
    "a scope: 1 to 64 letters, digits, '.', '_', '-', the first a letter or a digit"
)
_NAME_FORM: Final = (
    f"a name of 1 to {NAME_MAX} printable characters without blanks, whose parts between '/' "
    "are neither empty nor '.' nor '..'"
)


class BadCatalogueField(ValueError):
    """A field holds a value that the catalogue does not accept. Nothing was stored."""

    def __init__(self, field: str, value: object, right: str) -> None:
        super().__init__(f"{field}: found {short(repr(value))}, expected {right}")
        self.field, self.value, self.right = field, value, right


# -- states ---------------------------------------------------------------------------------------


class FileState(str, enum.Enum):
    """The state of a file. It follows from the file's replicas, except Removed."""

    AVAILABLE = "Available"  # a replica can be read
    MISSING = "Missing"  # none now: registered without a copy, being copied, or its storage is away
    LOST = "Lost"  # all replicas are corrupt
    REMOVED = "Removed"  # by a user; its name stays taken, so that no other content can get it


class ReplicaState(str, enum.Enum):
    """The state of one copy of a file."""

    AVAILABLE = "Available"
    COPYING = "Copying"  # a transfer is writing it
    BAD = "Bad"  # its content differs from the registered checksum
    MISSING = "Missing"  # not on the storage now


class RuleState(str, enum.Enum):
    """The progress of a rule."""

    OK = "Ok"  # all copies exist
    REPLICATING = "Replicating"
    STUCK = "Stuck"  # a transfer failed too often


class RemnantState(str, enum.Enum):
    """The state of bytes on a storage that no file of the catalogue names any more."""

    WAITING = "Waiting"  # to be removed after a time, unless a file names them again
    SWEEPING = "Sweeping"  # being removed; no file may name them any more
    GONE = "Gone"


def state_of(replicas: Collection[ReplicaState]) -> FileState:
    """Return the state of a file that was not removed."""
    if ReplicaState.AVAILABLE in replicas:
        return FileState.AVAILABLE
    if replicas and all(one is ReplicaState.BAD for one in replicas):
        return FileState.LOST
    return FileState.MISSING


# -- names ----------------------------------------------------------------------------------------


class Did(msgspec.Struct, frozen=True, order=True, gc=False):
    """The name of a file or a dataset inside one community: `scope:name`."""

    scope: str
    name: str

    @classmethod
    def parse(cls, text: str, where: str = "did") -> "Did":
        """Return the scope and name in `scope:name`. Raises BadCatalogueField."""
        scope, colon, name = text.partition(":")
        if not colon:
            raise BadCatalogueField(
                where, text, "the form SCOPE:NAME, as in ctao:gamma/run17.simtel.zst"
            )
        check_scope(scope, where)
        check_name(name, where)
        return cls(scope, name)

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


def check_scope(scope: str, where: str = "scope") -> None:
    """Raise BadCatalogueField unless `scope` has the form of a scope."""
    if not _SCOPE.match(scope):
        raise BadCatalogueField(where, scope, _SCOPE_FORM)


def check_name(name: str, where: str = "name") -> None:
    """Raise BadCatalogueField unless `name` has the form of a name inside a scope."""
    good = 0 < len(name) <= NAME_MAX and name.isprintable() and " " not in name
    if good and ("/" in name or "." in name[:2]):
        good = not {"", ".", ".."}.intersection(name.split("/"))
    if not good:
        raise BadCatalogueField(where, name, _NAME_FORM)


def check_storage(name: str, where: str = "storage") -> None:
    """Raise BadCatalogueField unless `name` has the form of a storage's name."""
    if not _STORAGE.match(name):
        right = "a storage's name: 1 to 64 letters, digits, '.', '_', '-'"
        raise BadCatalogueField(where, name, right)


def check_path(path: str, where: str = "path") -> None:
    """Raise BadCatalogueField unless `path` can be the path of a copy below its storage's URL."""
    good = path.isprintable() and len(path) <= PATH_MAX and not path.startswith("/")
    good = good and len(path.encode()) <= PATH_BYTES_MAX
    if not good or not {"", ".", ".."}.isdisjoint(path.split("/")):
        right = (
            f"a path in the storage: at most {PATH_MAX} printable characters and {PATH_BYTES_MAX} "
            "bytes, whose parts between '/' are neither empty nor '.' nor '..'"
        )
        raise BadCatalogueField(where, path, right)


# -- metadata -------------------------------------------------------------------------------------


class KeyType(str, enum.Enum):
    """The type of a key's values. The first use in a community fixes it."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"


_SHOWN: Final = {
    KeyType.STRING: "a text",
    KeyType.NUMBER: "a number",
    KeyType.BOOLEAN: "true or false",
}
_TYPES: Final[dict[type, KeyType]] = {
    str: KeyType.STRING,
    int: KeyType.NUMBER,
    float: KeyType.NUMBER,
    bool: KeyType.BOOLEAN,
}


def type_of(value: Value) -> KeyType:
    """Return the type of a value."""
    return _TYPES[type(value)]


def check_key(key: str, where: str) -> None:
    """Raise BadCatalogueField unless `key` has the form of a metadata key."""
    if not _KEY.match(key):
        right = "a key: a letter, then at most 63 letters, digits, '_', '.', '-'"
        raise BadCatalogueField(where, key, right)
    if key in _RESERVED:
        raise BadCatalogueField(
            where, key, "another key: this word means something else in queries"
        )


def checked_value(value: object, where: str) -> Value:
    """Return a value in its canonical form (20, never 20.0). Raises BadCatalogueField."""
    kind = type(value)
    if kind is str:
        text = cast(str, value)
        if len(text) <= VALUE_MAX and text.isprintable():
            return text
        raise BadCatalogueField(where, text, f"at most {VALUE_MAX} printable characters")
    if kind is int:
        number = cast(int, value)
        if -ID_MAX <= number <= ID_MAX:
            return number
        raise BadCatalogueField(
            where, value, "a number from -2^53 to 2^53: give larger ones as a text"
        )
    if kind is bool:
        return cast(bool, value)
    if kind is float:
        real = cast(float, value)
        if math.isfinite(real):
            return int(real) if real.is_integer() and abs(real) <= ID_MAX else real
    raise BadCatalogueField(where, value, "a text, a finite number, true or false")


def checked_metadata(given: Mapping[str, object], where: str = "metadata") -> dict[str, Value]:
    """Return metadata with all values in canonical form. Raises BadCatalogueField."""
    if len(given) > KEYS_MAX:
        raise BadCatalogueField(where, f"{len(given)} keys", f"at most {KEYS_MAX}")
    found: dict[str, Value] = {}
    for key, value in given.items():
        if not _known_key(key):
            check_key(key, f"{where}.{key[:80]}")
        found[key] = checked_value(value, f"{where}.{key}")
    return found


@lru_cache(maxsize=4_096)
def _known_key(key: str) -> bool:
    return bool(_KEY.match(key)) and key not in _RESERVED


def check_type(key: str, value: Value, kind: KeyType, where: str = "metadata") -> None:
    """Raise BadCatalogueField unless the value has the type that its key has in this community."""
    if _TYPES[type(value)] is not kind:
        raise BadCatalogueField(f"{where}.{key}", value, f"{_SHOWN[kind]}: the type of {key} here")


# -- queries --------------------------------------------------------------------------------------


class Op(str, enum.Enum):
    """An operator of a query. A file without the key meets only `exists: false`."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "in"
    NOT_IN = "not in"
    LIKE = "like"  # `*` stands for any characters, `?` for one
    EXISTS = "exists"


_ORDERED: Final = frozenset({Op.LT, Op.LE, Op.GT, Op.GE})
_LISTS: Final = frozenset({Op.IN, Op.NOT_IN})
_OPS: Final = {op.value: op for op in Op}


ValueTest = Callable[[Value | None], bool]


class Condition(msgspec.Struct, frozen=True):
    """One condition of a query.

    The value is a tuple for `in` and `not in`, and a truth value for `exists`.
    """

    key: str
    op: Op
    value: Value | tuple[Value, ...]

    def meets(self, value: Value | None) -> bool:
        """Return whether a file with this value of the key meets it; None: the key is missing."""
        return test_of(self)(value)


class Query(msgspec.Struct, frozen=True):
    """A query for files. A file must meet all conditions."""

    conditions: tuple[Condition, ...]
    dataset: Did | None = None

    def meets(self, metadata: Metadata) -> bool:
        """Return whether the metadata meet the query. The dataset is not checked."""
        return all(one.meets(metadata.get(one.key)) for one in self.conditions)

    def tests(self) -> list[tuple[str, ValueTest]]:
        """Return the keys and tests of the conditions, for callers that check many files."""
        return [(one.key, test_of(one)) for one in self.conditions]

    def check(self, keys: Mapping[str, KeyType], where: str = "query") -> None:
        """Raise BadCatalogueField for an unknown key or for a value of another type."""
        for one in self.conditions:
            kind = keys.get(one.key)
            if kind is None:
                raise BadCatalogueField(f"{where}.{one.key}", one.key, _nearest(one.key, keys))
            if one.op is Op.EXISTS:
                continue
            if one.op is Op.LIKE and kind is not KeyType.STRING:
                raise BadCatalogueField(
                    f"{where}.{one.key}", "like", f"=, <, in …: {one.key} is not a text"
                )
            for value in one.value if isinstance(one.value, tuple) else (one.value,):
                check_type(one.key, value, kind, where)

    def document(self) -> dict[str, Any]:
        """Return the query in the form that users write, with its keys in a fixed order."""
        found: dict[str, Any] = {}
        if self.dataset is not None:
            found[DATASET_KEY] = str(self.dataset)
        for one in sorted(self.conditions, key=lambda one: (one.key, one.op.value)):
            value = list(one.value) if isinstance(one.value, tuple) else one.value
            found.setdefault(one.key, {})[one.op.value] = value
        return found


def parse_query(document: object, where: str = "query") -> Query:
    """Return the query in a dictionary. Raises BadCatalogueField.

    `{"particle": "gamma", "thetaP": {">=": 20}, "nsb": {"in": [1, 5]}, "dataset": "ctao:prod6"}`
    """
    if not isinstance(document, Mapping):
        raise BadCatalogueField(where, document, 'a mapping, as in {"particle": "gamma"}')
    dataset: Did | None = None
    conditions: list[Condition] = []
    for key, clause in cast(Mapping[object, object], document).items():
        if not isinstance(key, str):
            raise BadCatalogueField(where, key, "a key that is a text")
        if key == DATASET_KEY:
            if not isinstance(clause, str):
                raise BadCatalogueField(
                    f"{where}.{key}", clause, "a dataset, as in ctao:prod6-gamma"
                )
            dataset = Did.parse(clause, f"{where}.{key}")
            continue
        if not _KEY.match(key):
            check_key(key, f"{where}.{key[:80]}")
        conditions += _clauses(key, clause, f"{where}.{key}")
        if len(conditions) > CONDITIONS_MAX:
            raise BadCatalogueField(
                where, f"{len(conditions)} conditions", f"at most {CONDITIONS_MAX}"
            )
    return Query(tuple(conditions), dataset)


def _clauses(key: str, clause: object, where: str) -> list[Condition]:
    if not isinstance(clause, Mapping):
        if isinstance(clause, list | tuple):
            several = str(list(cast(Sequence[object], clause)))
            raise BadCatalogueField(where, several, f'a value, or {{"in": {short(several)}}}')
        return [Condition(key, Op.EQ, checked_value(clause, where))]
    found: list[Condition] = []
    for word, value in cast(Mapping[object, object], clause).items():
        op = _OPS.get(word) if isinstance(word, str) else None
        if op is None:
            raise BadCatalogueField(where, word, _nearest(str(word), _OPS))
        found.append(Condition(key, op, _operand(op, value, f"{where}.{op.value}")))
    if not found:
        raise BadCatalogueField(where, "{}", f"an operator: {', '.join(_OPS)}")
    return found


def _listed(value: object) -> Sequence[object]:
    return cast(Sequence[object], value) if isinstance(value, list | tuple) else ()


def _operand(op: Op, value: object, where: str) -> Value | tuple[Value, ...]:
    if op in _LISTS:
        several = _listed(value)
        if not several:
            raise BadCatalogueField(where, value, "a list of values")
        if len(several) > CHOICES_MAX:
            raise BadCatalogueField(where, f"{len(several)} values", f"at most {CHOICES_MAX}")
        return tuple(checked_value(one, where) for one in several)
    if op is Op.EXISTS:
        if not isinstance(value, bool):
            raise BadCatalogueField(where, value, "true or false")
        return value
    if op is Op.LIKE:
        if not isinstance(value, str):
            raise BadCatalogueField(where, value, "a text with * and ?, as in run1*")
        return checked_value(value, where)
    found = checked_value(value, where)
    if op in _ORDERED and isinstance(found, bool):
        raise BadCatalogueField(where, value, "a number or a text: true and false have no order")
    return found


_WORD: Final = re.compile(
    r"(?P<key>[A-Za-z][A-Za-z0-9_.-]*)\s*(?P<op>!=|<=|>=|<|>|=|~)(?P<rest>.*)\Z"
)


def query_of_words(words: Iterable[str], keys: Mapping[str, KeyType]) -> Query:
    """Return the query of a command line: `particle=gamma thetaP>=20 nsb=1,5 name~run1*`.

    A text is converted to the type of its key. `=` with commas means one of the values, `~` is
    `like`. `key` alone asks for files with the key, and `!key` for files without it. Two different
    conditions of the same kind on one key are refused. Raises BadCatalogueField.
    """
    document: dict[str, Any] = {}
    said: dict[tuple[str, str], str] = {}  # the word that set an operator of a key

    def add(key: str, op: str, value: Any, word: str) -> None:
        """Add a condition; refuse it if it would replace a different one of the same kind."""
        before = said.setdefault((key, op), word)
        if before != word:
            right = f"one condition with {op!r} on {key}: {before} is there"
            raise BadCatalogueField(f"query.{key}", word, right)
        if key == DATASET_KEY:
            document[key] = value
        else:
            document.setdefault(key, {})[op] = value

    for word in words:
        found = _WORD.match(word)
        if found is None:
            key, exists = word.removeprefix("!"), not word.startswith("!")
            check_key(key, "query")
            add(key, "exists", exists, word)
            continue
        key, op, rest = found["key"], found["op"], found["rest"].strip()
        if key == DATASET_KEY:
            if op != "=":
                raise BadCatalogueField("query.dataset", word, "dataset=SCOPE:NAME")
            add(key, op, rest, word)
            continue
        if key in _RESERVED:
            right = "a key of metadata: files are not searched by this; `data ls` lists a dataset"
            raise BadCatalogueField(f"query.{key}", key, right)
        kind = keys.get(key)
        if kind is None:
            raise BadCatalogueField(f"query.{key}", key, _nearest(key, keys))
        if op == "~":
            add(key, "like", rest, word)
        elif op in ("=", "!=") and "," in rest:
            values = [value_of_text(one, kind, f"query.{key}") for one in rest.split(",")]
            add(key, "in" if op == "=" else "not in", values, word)
        else:
            add(key, op, value_of_text(rest, kind, f"query.{key}"), word)
    query = parse_query(document)
    query.check(keys)
    return query


def value_of_text(text: str, kind: KeyType | None, where: str) -> Value:
    """Return a typed text as a value of type `kind`; None: guess the type from the text.

    Raises BadCatalogueField.
    """
    if kind is KeyType.STRING:
        return checked_value(text, where)
    if kind is not KeyType.NUMBER and text in ("true", "false"):
        return text == "true"
    if kind is KeyType.BOOLEAN:
        raise BadCatalogueField(where, text, "true or false")
    for number in (int, float):
        try:
            return checked_value(number(text), where)
        except ValueError:
            continue
    if kind is KeyType.NUMBER:
        raise BadCatalogueField(where, text, "a number")
    return checked_value(text, where)


def _nearest(word: str, known: Iterable[str]) -> str:
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    if not near:
        folded = [one for one in words if one.lower() == word.lower()]
        near = folded[:1]
    some = ", ".join(words[:12]) + (" …" if len(words) > 12 else "")
    if near:
        return f"{near[0]}, or another of: {some}"
    return f"one of: {some}" if words else "a key that files have: none has metadata yet"


def test_of(condition: Condition) -> ValueTest:
    """Return how a condition is tested on a value; None: the file has no value.

    A value of another type does not meet it: 1 is not true, and "20" is not 20.
    """
    if condition.op is Op.EXISTS:
        wanted = bool(condition.value)
        return lambda value: (value is not None) is wanted
    test = _test(condition)
    return lambda value: value is not None and test(value)


def _test(condition: Condition) -> Callable[[Value], bool]:
    op, wanted = condition.op, cast(Any, condition.value)
    if op in _LISTS:
        choices = {(type_of(one), one) for one in wanted}
        if op is Op.IN:
            return lambda value: (_TYPES[type(value)], value) in choices
        return lambda value: (_TYPES[type(value)], value) not in choices
    kind = type_of(wanted)
    if op is Op.LIKE:
        # A bracket means itself, because names of files contain brackets.
        like = re.compile(fnmatch.translate(wanted.replace("[", "[[]"))).match
        return lambda value: isinstance(value, str) and like(value) is not None
    compare: dict[Op, Callable[[Any], bool]] = {
        Op.EQ: lambda value: value == wanted,
        Op.NE: lambda value: value != wanted,
        Op.LT: lambda value: value < wanted,
        Op.LE: lambda value: value <= wanted,
        Op.GT: lambda value: value > wanted,
        Op.GE: lambda value: value >= wanted,
    }
    test = compare[op]
    return lambda value: _TYPES[type(value)] is kind and test(value)
