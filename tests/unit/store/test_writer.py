"""The writer: groups, what fails alone, what is full, what is broken."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import pytest

from pilotage.central.store.errors import StoreBroken, StoreError, StoreFull
from pilotage.central.store.sqlite.checkpoints import (
    CHECKPOINT_ROWS,
    LOG_BYTES,
    LOOK_EVERY,
    WalCheckpoints,
)
from pilotage.central.store.sqlite.copying import LogCopy
from pilotage.central.store.sqlite.errors import translated
from pilotage.central.store.sqlite.session import SqliteSession
from pilotage.central.store.writer import JointOperation, NotJoinable, Writer

T = TypeVar("T")


class Recorded(SqliteSession):
    """A session with one small table that counts its transactions and can be told to fail."""

    def __init__(self, path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
        connection.execute("CREATE TABLE thing (n INTEGER PRIMARY KEY, text TEXT)")
        super().__init__(connection)
        self.commits = self.checkpoints = 0
        self.failures: dict[str, Exception] = {}
        self.sql = Statements(self)

    def things(self) -> list[int]:
        return [row[0] for row in self.connection.execute("SELECT n FROM thing ORDER BY n")]


class Statements(dict[str, str]):
    """The statements of a transaction; a look-up is the moment at which one is run."""

    def __init__(self, session: Recorded) -> None:
        super().__init__(session.sql)
        self._session = session

    def __getitem__(self, name: str) -> str:
        if name in self._session.failures:
            raise self._session.failures[name]
        self._session.commits += name == "commit"
        self._session.checkpoints += name == "checkpoint"
        return super().__getitem__(name)


class Told:
    """The words that `fatal` was called with."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, why: str) -> None:
        self.words.append(why)


@pytest.fixture
def session(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "store.db")


@pytest.fixture
def fatal() -> Told:
    return Told()


@pytest.fixture
async def writer(session: Recorded, fatal: Told) -> AsyncIterator[Writer[Recorded]]:
    made = Writer(session, fatal=fatal, afterwards=WalCheckpoints(session).look)
    yield made
    await made.close()
    session.connection.close()


def put(n: int, text: str = "") -> Callable[[Recorded], int]:
    def operation(session: Recorded) -> int:
        session.connection.execute("INSERT INTO thing (n, text) VALUES (?, ?)", (n, text))
        return n

    return operation


class Put(JointOperation):
    """The same, joined with others: three and more do not go together."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, session: Recorded) -> str:
        put(self.n)(session)
        return f"{self.n} alone"

    @classmethod
    def together(cls, session: Recorded, several: Sequence["Put"]) -> list[str]:
        for one in several:
            put(one.n)(session)
        if len(several) > 2:
            raise NotJoinable
        return [f"{one.n} joined" for one in several]


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("told to")
    error.sqlite_errorcode = code
    return error


async def outcome(call: Awaitable[T]) -> T | Exception:
    try:
        return await call
    except (StoreError, ValueError, OverflowError) as why:
        return why


async def together(
    writer: Writer[Recorded], *operations: Callable[[Recorded], T]
) -> list[T | Exception]:
    """Run operations as one group: they are queued while the writer is held up by another."""
    entered, go_on = threading.Event(), threading.Event()

    def hold_up(session: Recorded) -> None:
        entered.set()
        assert go_on.wait(10)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outcome(writer.run(hold_up)))
        await asyncio.to_thread(entered.wait, 10)
        calls = [tasks.create_task(outcome(writer.run(operation))) for operation in operations]
        await asyncio.sleep(0)
        go_on.set()
    return [call.result() for call in calls]


async def test_what_is_queued_meanwhile_shares_one_commit(
    writer: Writer[Recorded], session: Recorded
) -> None:
    answers = await together(writer, *[put(n) for n in range(20)])

    assert answers == list(range(20)) == session.things()
    assert session.commits == 2  # the one that held up, and the group


async def test_what_does_not_go_joined_runs_by_itself_in_one_commit(
    writer: Writer[Recorded], session: Recorded
) -> None:
    joined = await together(writer, Put(1), Put(2), put(3))
    apart = await together(writer, Put(4), Put(5), Put(6), put(7))
    failed = await together(writer, Put(8), Put(5), Put(9))

    assert joined == ["1 joined", "2 joined", 3]
    assert apart == ["4 alone", "5 alone", "6 alone", 7]
    assert isinstance(failed[1], StoreError)
    assert [failed[0], failed[2]] == ["8 alone", "9 alone"]
    assert session.things() == list(range(1, 10))
    assert session.commits == 3 + 1 + 1 + 2  # each hold-up, two groups, two that came after all


async def test_an_operation_that_fails_leaves_the_others_alone(
    writer: Writer[Recorded], session: Recorded, fatal: Told
) -> None:
    def mistaken(session: Recorded) -> int:
        put(50)(session)
        raise ValueError("of its own")

    answers = await together(
        writer, put(1), put(1), put(2), mistaken, put(2**70), put(3, "half \ud800"), put(4)
    )

    assert session.things() == [1, 2, 4]
    assert [answers[i] for i in (0, 2, 6)] == [1, 2, 4]
    kinds = [type(answers[i]) for i in (1, 3, 4, 5)]
    assert kinds == [StoreError, ValueError, OverflowError, UnicodeEncodeError]
    assert fatal.words == []
    assert await writer.run(put(5)) == 5


async def test_a_full_store_refuses_and_goes_on_when_there_is_room(
    writer: Writer[Recorded], session: Recorded, fatal: Told
) -> None:
    session.connection.execute("PRAGMA max_page_count = 10").fetchall()
    answers = await together(writer, put(1), put(2, "x" * 100_000), put(3))
    session.connection.execute("PRAGMA max_page_count = 1000000").fetchall()

    assert session.things() == [1, 3]
    assert isinstance(answers[1], StoreFull)
    assert (answers[0], answers[2], fatal.words) == (1, 3, [])
    assert await writer.run(put(2, "x" * 100_000)) == 2


async def test_a_failed_sync_breaks_the_store_for_good(
    writer: Writer[Recorded], session: Recorded, fatal: Told
) -> None:
    session.failures["commit"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
    answers = await together(writer, put(1), put(2))
    session.failures.clear()

    assert [type(answer) for answer in answers] == [StoreBroken, StoreBroken]
    assert len(fatal.words) == 1
    with pytest.raises(StoreBroken):
        await writer.run(put(3))
    assert session.things() == []


async def test_a_failed_sync_of_a_checkpoint_breaks_the_store_too(
    writer: Writer[Recorded], session: Recorded, fatal: Told
) -> None:
    session.failures["checkpoint"] = sqlite_error(sqlite3.SQLITE_IOERR_FSYNC)
    await writer.run(many)  # it is stored, the log has it
    with pytest.raises(StoreBroken):
        await writer.run(put(-1))

    assert len(session.things()) == CHECKPOINT_ROWS
    assert fatal.words == ["checkpoint: told to"]


def many(session: Recorded) -> None:
    rows = [(n, "") for n in range(CHECKPOINT_ROWS)]
    session.connection.executemany("INSERT INTO thing (n, text) VALUES (?, ?)", rows)


class Beside:
    """What copies beside the writer: it is told to begin, and we say when it is done."""

    def __init__(self) -> None:
        self.begun: list[Future[None]] = []

    def __call__(self) -> Future[None]:
        self.begun.append(Future())
        return self.begun[-1]


async def test_most_of_the_log_is_copied_beside_the_writer_which_then_copies_the_rest(
    session: Recorded, fatal: Told
) -> None:
    beside = Beside()
    writer = Writer[Recorded](session, fatal=fatal, afterwards=WalCheckpoints(session, beside).look)
    await writer.run(many)
    await writer.run(put(-1))  # when it is answered, the look after the group before is over
    before = (len(beside.begun), session.checkpoints)
    beside.begun[0].set_result(None)
    await writer.run(put(-2))
    await writer.run(put(-3))
    after = (len(beside.begun), session.checkpoints)
    await writer.close()
    session.connection.close()

    assert before == (1, 0)
    assert after == (1, 1)


async def test_a_long_log_is_copied_whatever_the_rows_and_once_until_it_grows_again(
    session: Recorded, fatal: Told, tmp_path: Path
) -> None:
    beside, log, begun = Beside(), tmp_path / "long", list[int]()
    checkpoints = WalCheckpoints(session, beside, log=log)

    def look() -> None:
        for _ in range(LOOK_EVERY):
            checkpoints.look()

    for size in (LOG_BYTES, LOG_BYTES + 1, LOG_BYTES + 2, 2 * LOG_BYTES + 2, LOG_BYTES):
        with log.open("ab") as file:
            file.truncate(size)
        look()
        begun.append(len(beside.begun))
        if beside.begun and not beside.begun[-1].done():
            beside.begun[-1].set_result(None)
            look()
    with log.open("ab") as file:
        file.truncate(LOG_BYTES + 1)
    look()
    session.connection.close()

    assert begun == [0, 1, 1, 2, 2]
    assert len(beside.begun) == 3


@pytest.mark.parametrize(
    ("code", "words"),
    [(sqlite3.SQLITE_IOERR_FSYNC, ["checkpoint: told to"]), (sqlite3.SQLITE_FULL, [])],
)
async def test_a_failed_sync_beside_the_writer_breaks_the_store_and_a_full_disk_does_not(
    session: Recorded, fatal: Told, code: int, words: list[str]
) -> None:
    beside = Beside()
    writer = Writer[Recorded](session, fatal=fatal, afterwards=WalCheckpoints(session, beside).look)
    await writer.run(many)
    await writer.run(put(-1))
    beside.begun[0].set_exception(sqlite_error(code))
    await outcome(writer.run(put(-2)))  # when it is answered, somebody has looked
    last = await outcome(writer.run(put(-3)))
    await writer.close()
    session.connection.close()

    assert fatal.words == words
    assert isinstance(last, StoreBroken) is bool(words)
    assert len(beside.begun) == 1  # on a full disk it is not tried with every commit


async def test_the_copy_is_in_the_file_of_the_database(tmp_path: Path) -> None:
    session = Recorded(tmp_path / "store.db")
    session.connection.execute("INSERT INTO thing (n, text) VALUES (1, 'copied')")
    before = b"copied" in (tmp_path / "store.db").read_bytes()
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)
    copy = LogCopy(other)
    await asyncio.to_thread(copy.begin().result, 10)
    after = b"copied" in (tmp_path / "store.db").read_bytes()
    copy.close()
    session.connection.close()

    assert (before, after) == (False, True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_mistake_in_the_writer_itself_answers_everybody(
    writer: Writer[Recorded], fatal: Told
) -> None:
    def broken(session: Recorded) -> int:
        raise SystemExit

    answers = await together(writer, put(1), broken, put(2))
    for thread in threading.enumerate():
        if thread.name == "store-writer":
            await asyncio.to_thread(thread.join, 10)  # what it died of is shown in this test

    assert [type(answer) for answer in answers] == [StoreBroken] * 3
    assert fatal.words == ["the writer thread has died"]
    with pytest.raises(StoreBroken):
        await writer.run(put(3))


async def test_closing_finishes_what_is_queued_and_takes_nothing_more(
    session: Recorded, fatal: Told
) -> None:
    writer = Writer[Recorded](session, fatal=fatal)
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(writer.run(put(n))) for n in range(10)]
        await asyncio.sleep(0)
        tasks.create_task(writer.close())
    with pytest.raises(StoreError):
        await writer.run(put(11))

    assert [call.result() for call in calls] == list(range(10)) == session.things()
    session.connection.close()


async def test_a_caller_that_is_cancelled_disturbs_nobody(
    writer: Writer[Recorded], session: Recorded
) -> None:
    async with asyncio.TaskGroup() as tasks:
        given_up = tasks.create_task(writer.run(put(1)))
        await asyncio.sleep(0)
        given_up.cancel()
        kept = tasks.create_task(writer.run(put(2)))

    assert kept.result() == 2
    assert session.things() == [1, 2]


async def test_a_full_queue_makes_callers_wait_for_an_answer(
    session: Recorded, fatal: Told
) -> None:
    writer = Writer[Recorded](session, fatal=fatal, queue_max=2)
    answers = await asyncio.gather(*[writer.run(put(n)) for n in range(30)])
    await writer.close()

    assert answers == list(range(30)) == session.things()
    assert session.commits >= 15
    session.connection.close()


async def test_a_group_is_closed_when_it_has_enough_rows(session: Recorded, fatal: Told) -> None:
    writer = Writer[Recorded](session, fatal=fatal, group_rows_max=4)
    await together(writer, *[put(n) for n in range(20)])
    await writer.close()

    assert session.commits == 6
    session.connection.close()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StoreFull),
        (sqlite3.SQLITE_IOERR_WRITE, StoreBroken),
        (sqlite3.SQLITE_CORRUPT, StoreBroken),
        (sqlite3.SQLITE_READONLY, StoreBroken),
        (sqlite3.SQLITE_BUSY, StoreBroken),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, StoreError),
    ],
)
def test_errors_of_sqlite_have_a_meaning(code: int, told: type[StoreError]) -> None:
    error = sqlite_error(code)

    assert type(translated(error)) is told
    assert translated(error).__cause__ is error
