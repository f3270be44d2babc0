"""`pilotage data …`: files of the catalogue, their copies and metadata."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter

from pilotage.proto.api.data import (
    DatasetActionName,
    Direction,
    FileItem,
    FileView,
    ItemsReply,
    RuleJob,
)
from pilotage.proto.catalogue import (
    BadCatalogueField,
    FileState,
    KeyType,
    ReplicaState,
    value_of_text,
)
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.job_states import JobState

from ...client.transfers.local_sources import is_folder, is_pattern
from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import ExitCode, UsageError
from ..presentation import aligned, note, print_line, query_in_words, table
from ..whole_numbers import whole
from .listings import dataset_table, du, ls, pairs_of, shown
from .outbox import outbox
from .sweeps import sweep
from .transfers import get, keys_of, put, query_of

if TYPE_CHECKING:
    from pilotage.proto.api.data import FileDetail, Lineage


app = App(name="data", help="Find, register and remove files of the catalogue.")

app.command(put)
app.command(get)
app.command(ls)
app.command(du)
app.command(sweep)
app.command(outbox)

EXAMPLES = "run=7 thetaP>=20 nsb=1,5 particle~gam* key !key dataset=SCOPE:NAME"
_WORDS = Parameter(help=f"Conditions: {EXAMPLES}")
_DIDS = Parameter(help="Files, as SCOPE:NAME.")
_MEMBERS = Parameter(help="Files, as SCOPE:NAME, SCOPE:FOLDER/ or SCOPE:PATTERN.")
SORTED_MAX: Final = 100_000  # files in memory
_PAIRS = Parameter(help="Metadata, as KEY=VALUE.")
DidArgument = Annotated[str, Parameter(help="A file, as SCOPE:NAME.")]
DatasetArgument = Annotated[str, Parameter(help="A dataset, as SCOPE:NAME.")]
RuleArgument = Annotated[int, Parameter(help="Number of the rule.")]
ReasonOption = Annotated[str, Parameter(help="Reason, for the log.")]


# -- reading -------------------------------------------------------------------------------------


@app.command
@reads
async def find(
    client: Client,
    *words: Annotated[str, _WORDS],
    state: Annotated[
        tuple[FileState, ...], Parameter(help="Files in these states (default: Available).")
    ] = (),
    long: Annotated[bool, Parameter(help="Also show size, state and metadata.")] = False,
    limit: Annotated[int, whole("Show at most this many; 0: all.")] = 0,
) -> Answers:
    """Find files by their metadata. All conditions must hold. Quote conditions with < and >.

    A comma separates alternatives, and ~ takes a pattern with * and ?. KEY alone means that a file
    has the key, !KEY that it does not. With --json, it prints one file on each line. Files are
    sorted by name, in parts of 100 000.
    """
    query = query_of(words, await keys_of(client))
    return files_in_order(client, query, state or (FileState.AVAILABLE,), long=long, limit=limit)


async def files_in_order(
    client: Client,
    query: dict[str, Any],
    states: Iterable[FileState],
    *,
    long: bool,
    limit: int = 0,
) -> Answers:
    count, found = 0, list[FileView]()

    def some() -> Iterator[CommandResult]:
        for view in sorted(found, key=lambda one: one.did):
            yield CommandResult(view, _in_a_line if long else view.did)
        found.clear()

    async for view in client.find_files(query, states=states):
        found.append(view)
        count += 1
        if count == limit:
            break
        if len(found) == SORTED_MAX:
            for one in some():
                yield one
    for one in some():
        yield one
    if not count:
        yield CommandResult(None, lambda _: note("no file meets these conditions"))


def _in_a_line(view: FileView) -> None:
    print_line(f"{view.did}  {view.bytes}  {view.state.value}  {pairs_of(view.metadata)}")


@app.command
@reads
async def show(client: Client, did: DidArgument, /) -> CommandResult:
    """Show everything about a file."""
    return CommandResult(await client.file(did), _print_file)


@app.command
@reads
async def replicas(central: CentralConnection, *dids: Annotated[str, _DIDS]) -> Answers:
    """Show where copies of files are, and their states."""
    _some(dids)
    client = await central.client()
    found = await client.replicas(dids)
    rows = [
        (did, one.storage, one.state.value, one.path) for did in dids for one in found.get(did, ())
    ]
    unknown = [did for did in dids if did not in found]
    columns = ("file", "storage", "state", "path")
    code = ExitCode.REFUSED if unknown else ExitCode.OK
    yield CommandResult(found, table(columns, rows, empty="" if unknown else "no copies"), code)
    for did in unknown:
        note(f"there is no file {did}")


@app.command
@reads
async def lineage(
    client: Client,
    did: DidArgument,
    /,
    *,
    down: Annotated[
        bool, Parameter(help="Show the jobs that read the file, and their outputs.")
    ] = False,
    limit: Annotated[int, whole("Show at most this many jobs.", least=1)] = 100,
) -> CommandResult:
    """Show the jobs that produced a file, with what they read; or the jobs that read the file."""
    direction = Direction.DOWN if down else Direction.UP
    found = await client.lineage(did, direction, limit=limit)
    return CommandResult(found, lambda found: _print_lineage(found, direction))


@app.command
@reads
async def datasets(client: Client) -> CommandResult:
    """List datasets."""
    return await dataset_table(client)


# -- changing ------------------------------------------------------------------------------------


@app.command
@changes
async def keys(
    central: CentralConnection,
    *pairs: Annotated[str, Parameter(help="New keys, as KEY=string, KEY=number or KEY=boolean.")],
) -> CommandResult:
    """List metadata keys with types and, if they are few, values. KEY=TYPE adds a key."""
    types = dict(_split(pair) for pair in pairs)
    known = {kind.value: kind for kind in KeyType}
    for key, word in types.items():
        if word not in known:
            nearest = unknown(word, known, what="type")
            raise UsageError(f"{key}={word}: the type is string, number or boolean: {nearest}")
    client = await central.client()
    if types:
        found = await client.add_metadata_keys({key: known[types[key]] for key in types})
    else:
        found = await client.metadata_keys()
    rows = [(one.key, one.type.value, _few(one.values)) for one in found.keys]
    return CommandResult(found, table(("key", "type", "values"), rows, empty="there are no keys"))


@app.command
@changes
async def register(
    central: CentralConnection,
    file: Annotated[
        str,
        Parameter(
            help="JSON: a list, or one file on each line; -: standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    /,
) -> CommandResult:
    """Register files from outside, in any order. Known files stay unchanged.

    A file is {"did": "SCOPE:NAME", "bytes": N, "adler32": "…", "metadata": {…}, "replicas":
    [{"storage": "…", "path": "…"}], "datasets": ["SCOPE:NAME"]}. A wrong file does not affect the
    others; the exit code is then 3.
    """
    items = _items(file)
    client = await central.client()
    return _outcomes(await client.register_files(items))


@app.command
@changes
async def meta(
    client: Client,
    did: DidArgument,
    /,
    *pairs: Annotated[str, _PAIRS],
    remove: Annotated[tuple[str, ...], Parameter(help="Key to remove. Repeatable.")] = (),
) -> CommandResult:
    """Show the metadata of a file, or set and remove keys. Values need the type of their key."""
    if pairs or remove:
        values = await _values(client, pairs)
        reply = await client.set_metadata([did], values, remove=remove)
        if reply.refused:
            return _outcomes(reply)
    found = (await client.file(did)).file.metadata
    if not found:
        return CommandResult(found, lambda _: note(f"{did} has no metadata"))
    return CommandResult(found, aligned([(key, shown(found[key])) for key in sorted(found)], 24))


@app.command
@changes
async def bad(
    central: CentralConnection,
    *dids: Annotated[str, _DIDS],
    storage: Annotated[str, Parameter(help="Storage of these copies.")],
    state: Annotated[ReplicaState, Parameter(help="State of the copies.")] = ReplicaState.BAD,
    reason: ReasonOption = "",
) -> CommandResult:
    """Declare copies corrupt, missing or available again.

    Jobs do not read corrupt or missing copies. A file becomes Lost when its last good copy is
    corrupt.
    """
    _some(dids)
    client = await central.client()
    reply = await client.declare_replicas(dids, storage, state=state, reason=reason)
    return _outcomes(reply)


@app.command(name="rm")
@changes
async def remove(central: CentralConnection, *dids: Annotated[str, _DIDS]) -> CommandResult:
    """Remove files from the catalogue. Their names stay taken.

    The bytes are removed a week later (data.sweep_after_s), if the storage's file says `deletes:
    true`. `data sweep` shows the progress. To get a file back, register it again before that.
    """
    _some(dids)
    client = await central.client()
    return _outcomes(await client.remove_files(dids))


@app.command
@changes
async def make(
    client: Client, dataset: DatasetArgument, /, *pairs: Annotated[str, _PAIRS]
) -> CommandResult:
    """Make a dataset. Files that are registered into it inherit its metadata."""
    made = await client.make_dataset(dataset, await _values(client, pairs))
    return CommandResult(made, made.did)


@app.command
@changes
async def attach(
    central: CentralConnection, dataset: DatasetArgument, /, *dids: Annotated[str, _MEMBERS]
) -> CommandResult:
    """Add files to a dataset. Their metadata stay the same. Quote patterns such as 'ctao:run*'."""
    _some(dids)
    client = await central.client()
    names = await _matching(client, dids)
    return _outcomes(await client.act_on_dataset(dataset, DatasetActionName.ATTACH, names))


@app.command
@changes
async def detach(
    central: CentralConnection, dataset: DatasetArgument, /, *dids: Annotated[str, _MEMBERS]
) -> CommandResult:
    """Take files out of a dataset. They stay in the catalogue."""
    _some(dids)
    client = await central.client()
    names = await _matching(client, dids)
    return _outcomes(await client.act_on_dataset(dataset, DatasetActionName.DETACH, names))


@app.command
@changes
async def close(client: Client, dataset: DatasetArgument, /) -> CommandResult:
    """Close a dataset, so that no files are added or taken out."""
    return _outcomes(await client.act_on_dataset(dataset, DatasetActionName.CLOSE, ()))


@app.command(name="open")
@changes
async def open_again(client: Client, dataset: DatasetArgument, /) -> CommandResult:
    """Open a closed dataset again."""
    return _outcomes(await client.act_on_dataset(dataset, DatasetActionName.OPEN, ()))


# -- rules ---------------------------------------------------------------------------------------

rule_app = App(name="rule", help="Keep copies of files on storages.")
app.command(rule_app)


@rule_app.command(name="add")
@changes
async def add_rule(
    client: Client,
    *words: Annotated[str, _WORDS],
    storage: Annotated[
        tuple[str, ...], Parameter(help="Storage for the copies. Repeatable, preferred first.")
    ],
    did: Annotated[str, Parameter(help="A file or a dataset, instead of conditions.")] = "",
    copies: Annotated[int, Parameter(help="Number of copies on these storages.")] = 1,
) -> CommandResult:
    """Keep copies of a file, of a dataset, or of all present and future files that meet conditions.

    Jobs of type Transfer make missing copies, on pilots that reach both storages.
    """
    if bool(words) == bool(did):
        raise UsageError("give either conditions such as run=7, or --did SCOPE:NAME")
    query = query_of(words, await keys_of(client)) if words else {}
    made = await client.add_rule(storage, did=did, query=query, copies=copies)
    return CommandResult(made, f"rule {made.id}")


@rule_app.command(name="list")
@reads
async def list_rules(client: Client) -> CommandResult:
    """List rules, with counts of copies that exist, are being made, are wanted, or are stuck."""
    found = await client.rules()
    rows = [
        (
            *(one.id, one.state.value, f"{one.copies} on {','.join(one.storages)}"),
            *(one.files, one.there, one.moving, one.wanted, one.stuck),
            one.did or query_in_words(one.query),
        )
        for one in found
    ]
    return CommandResult(found, table(_RULE_COLUMNS, rows, empty="there are no rules"))


_RULE_COLUMNS = (
    "rule", "state", "copies", "files", "there", "moving", "wanted", "stuck", "of",
)  # fmt: skip


@rule_app.command(name="show")
@reads
async def show_rule(client: Client, rule: RuleArgument, /) -> CommandResult:
    """Show a rule, why copies are stuck, and the jobs that make copies now."""
    found = await client.rule(rule)
    facts: list[tuple[str, object]] = [
        ("rule", found.id),
        ("of", found.did or query_in_words(found.query)),
        ("copies", f"{found.copies} on {', '.join(found.storages)}"),
        ("state", found.state.value),
        ("files", found.files),
        ("there", found.there),
        ("being made", found.moving),
        ("wanted", found.wanted),
        ("stuck", found.stuck),
        ("last failure", found.why or "-"),
        ("owner", found.owner),
        ("since", found.at),
    ]
    facts += [(f"job {one.id}", _of_rule_job(one)) for one in found.jobs]
    return CommandResult(found, aligned(facts, 14))


def _of_rule_job(one: RuleJob) -> str:
    """Describe a job of a rule, with a command that shows more."""
    at = f" at {one.site}" if one.site else ""
    more = "explain" if one.state is JobState.WAITING else "show"
    text = f", {one.said}" if one.said else ""
    return f"{one.state.value}{at}: a copy to {one.storage}{text}; pilotage {more} {one.id}"


@rule_app.command(name="retry")
@changes
async def retry_rule(client: Client, rule: RuleArgument, /) -> CommandResult:
    """Retry failed copies, and copies whose jobs wait or are held.

    The command kills these jobs. New ones follow the storages' files as they are now.
    """
    found = await client.retry_rule(rule)
    return CommandResult(found, f"rule {rule}: {found.wanted} copies will be retried")


@rule_app.command(name="drop")
@changes
async def drop_rule(client: Client, rule: RuleArgument, /) -> CommandResult:
    """Drop a rule. Copies stay, and so do the jobs that make some."""
    await client.drop_rule(rule)
    return CommandResult(None, f"rule {rule} is dropped")


# -- reading the command line --------------------------------------------------------------------


async def _values(client: Client, pairs: Sequence[str]) -> dict[str, Any]:
    if not pairs:
        return {}
    types = await keys_of(client)
    try:
        return {key: value_of_text(text, types.get(key), key) for key, text in map(_split, pairs)}
    except BadCatalogueField as why:
        raise UsageError(str(why)) from None


def _split(pair: str) -> tuple[str, str]:
    key, sign, text = pair.partition("=")
    if not sign or not key:
        raise UsageError(f"{pair!r}: expected KEY=VALUE")
    return key, text


def _some(dids: Sequence[str]) -> None:
    if not dids:
        raise UsageError("give at least one file, as SCOPE:NAME")


async def _matching(client: Client, words: Sequence[str]) -> list[str]:
    """Return names of files, with those that patterns and folders stand for. Raises UsageError."""
    names: list[str] = []
    for word in words:
        if not is_folder(word) and not is_pattern(word):
            names.append(word)
            continue
        found = [one.file.did async for one in client.list_files(word)]
        if not found:
            raise UsageError(f"no file matches {word}")
        names += found
    return list(dict.fromkeys(names))


def _items(file: str) -> list[FileItem]:
    """Read the files to register: a JSON list, or one object on each line."""
    import msgspec

    from pilotage.proto.decoding.nesting import loads

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as why:
        raise UsageError(f"{file} cannot be read: {why.strerror}") from None
    if data.lstrip()[:1] == b"[":
        try:
            return loads(data, list[FileItem])
        except msgspec.DecodeError as why:
            raise UsageError(f"{file}: {_wrong(why, list[FileItem], data)}") from None
    items: list[FileItem] = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                items.append(loads(line, FileItem))
            except msgspec.DecodeError as why:
                said = _wrong(why, FileItem, line)
                raise UsageError(f"{file}, line {number}: {said}") from None
    return items


def _wrong(why: Exception, kind: Any, data: bytes) -> str:
    import msgspec

    from pilotage.proto.decoding.complaints import complaint

    if not isinstance(why, msgspec.ValidationError):
        return f"not JSON: {why}"
    found = complaint(why, kind, data)
    return f"{found.path.removeprefix('$').removeprefix('.') or 'it'}: {found.message}"


# -- output --------------------------------------------------------------------------------------


def _outcomes(reply: ItemsReply) -> CommandResult:
    """Return the outcome for each item."""
    return CommandResult(reply, _print_reply, ExitCode.REFUSED if reply.refused else ExitCode.OK)


def _print_reply(reply: ItemsReply) -> None:
    for one in reply.refused:
        note(f"{one.did}: {one.message}")
    counts = {word: reply.results.count(word) for word in dict.fromkeys(reply.results)}
    if counts:
        print_line(", ".join(f"{count} {word.value}" for word, count in counts.items()))


def _print_file(found: "FileDetail") -> None:
    file: FileView = found.file
    facts: list[tuple[str, object]] = [
        ("file", file.did),
        ("state", file.state.value),
        ("bytes", file.bytes),
        ("adler32", file.adler32 or "-"),
        ("sha256", file.sha256 or "-"),
        ("made by", f"job {file.job}, attempt {file.epoch}" if file.job else file.owner or "-"),
        ("registered", file.at),
        ("datasets", ", ".join(found.datasets) or "-"),
    ]
    facts += [(f"  {key}", shown(file.metadata[key])) for key in sorted(file.metadata)]
    print_line(aligned(facts, 24))
    for copy in found.replicas:
        print_line(f"{'copy':<24} {copy.storage}  {copy.state.value}  {copy.path}")
    for one in found.remnants:
        what = f"{one.state.value} {one.gone}".rstrip() + (f": {one.why}" if one.why else "")
        print_line(f"{'remnant':<24} {one.storage}  {what}  {one.path}")


def _print_lineage(found: "Lineage", direction: Direction) -> None:
    if not found.links:
        print_line(
            f"no job made {found.did}" if direction is Direction.UP else f"no job read {found.did}"
        )
    removed = set(found.removed)
    for link in found.links:
        indent = "  " * (link.step - 1)
        print_line(f"{indent}job {link.job}")
        for word, dids in (("read", link.inputs), ("made", link.outputs)):
            for did in dids:
                print_line(f"{indent}  {word} {did}{' (removed)' if did in removed else ''}")
    if found.more:
        note("there are more jobs: a greater --limit shows them")


def _few(values: Sequence[object]) -> str:
    some = ", ".join(shown(one) for one in values[:8])
    return some + (" …" if len(values) > 8 else "")
