"""Data of jobs on a pilot: which copy is taken, what is chosen, where it goes."""

import asyncio
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import pytest

from pilotage.central.client.transfers.storage_copies import difference as copy_difference
from pilotage.central.http.body import SMALL_MAX
from pilotage.pilot.data import stage_out
from pilotage.pilot.data.files import DataFiles, StageInFailed, StoredOutputs, with_data
from pilotage.pilot.data.stage_in import CopiesUnusable, FetchResult, difference
from pilotage.pilot.data.storages import (
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CopyTooLong,
    Storage,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from pilotage.pilot.events import EVENTS
from pilotage.pilot.outfit.environment import environment_of
from pilotage.pilot.ports import Outfit, TooLarge, UnsafePath
from pilotage.proto.api.data import FileView
from pilotage.proto.catalogue import FileState
from pilotage.proto.limits import check
from pilotage.proto.messages import Assignment, Body, Grant, How, Output, Report, Turn, What
from pilotage.proto.storages import (
    Copy,
    DataBody,
    DataFile,
    DataRule,
    Published,
    Removal,
    Removed,
    StorageAccess,
)
from pilotage.proto.wire import encode
from tests.fake_pilot import FakeRandomness

CONTENT = b"photons\n"


def sums(content: bytes = CONTENT) -> CopyChecksums:
    return CopyChecksums(
        len(content), f"{zlib.adler32(content):08x}", hashlib.sha256(content).hexdigest()
    )


def data_file(*storages: str, did: str = "ctao:run1", path: str = "run1") -> DataFile:
    right = sums()
    copies = tuple(Copy(one, "fake", f"fake://{one}", "data/run1") for one in storages)
    return DataFile(did, path, right.size_bytes, right.adler32, right.sha256, copies)


# Checksums of the catalogue and of a copy, as adler32 and sha256, and whether the copy is good. A
# driver computes the strongest one that the catalogue has; it may compute the other one too.
COMPARED = """
    a s   a s   good
    a s   - s   good
    a s   b s   bad
    a s   a t   bad
    a s   a -   bad
    a s   - -   bad
    a -   a -   good
    a -   a t   good
    a -   - t   bad
    - s   - s   good
    - -   - -   good
"""


@pytest.mark.parametrize("line", COMPARED.strip().splitlines())
def test_a_copy_without_the_strongest_checksum_of_the_catalogue_is_bad(line: str) -> None:
    *sums, end = line.split()
    adler32, sha256, its_adler32, its_sha256 = ("" if one == "-" else one for one in sums)
    view = FileView(
        did="x:y",
        bytes=1,
        state=FileState.AVAILABLE,
        metadata={},
        adler32=adler32,
        sha256=sha256,
    )
    found = CopyChecksums(1, its_adler32, its_sha256)

    assert bool(difference(DataFile("x:y", "y", 1, adler32, sha256), found)) == (end == "bad")
    assert (copy_difference(view, found) is None) == (end == "good")


# -- which copy is taken ------------------------------------------------------------------------

# Copies in their order, each with what its readings give one after the other (the last one again
# and again); what came of it, which copies are bad, and how often it was waited.
#   ok right · bad wrong sums · long too long · gone not there · away unavailable · no refused
STAGING = """
    ok                       A            -      0
    away/ok                  A            -      1
    away  ok                 B            -      0
    bad   ok                 B            A      0
    bad/ok                   A            -      0
    long  ok                 B            A      0
    gone  ok                 B            -      0
    no    ok                 B            -      0
    away/away/ok  gone       A            -      2
    away/ok  away            A            -      1
    bad                      for_good     A      0
    bad   long               for_good     AB     0
    gone  bad                for_good     B      0
    gone                     for_good     -      0
    no                       in_vain      -      0
    no    bad                in_vain      B      0
    away                     in_vain      -      5
    away  bad                in_vain      B      5
    -                        in_vain      -      0
"""
WAITS_MAX = 5


@pytest.mark.parametrize("line", STAGING.strip().splitlines())
def test_the_first_copy_that_is_right_is_taken(line: str, tmp_path: Path) -> None:
    *given, outcome, bad, waits = line.split()
    given = [] if given == ["-"] else given
    names = "ABC"[: len(given)]
    readings = {name: words.split("/") for name, words in zip(names, given, strict=True)}
    waited: list[int] = []

    async def get(copy: Copy, to: Path, bytes_max: int) -> CopyChecksums:
        words = readings[copy.storage]
        word = words.pop(0) if len(words) > 1 else words[0]
        trouble = {
            "long": CopyTooLong,
            "gone": CopyMissing,
            "away": StorageUnavailable,
            "no": StorageRefused,
        }.get(word)
        if trouble is not None:
            raise trouble(word)
        return sums(CONTENT if word == "ok" else b"PHOTONS\n")

    async def wait(number: int, why: str) -> bool:
        waited.append(number)
        return len(waited) < WAITS_MAX

    fetch = FetchResult(data_file(*names))
    try:
        asyncio.run(_done(fetch, tmp_path, get, wait))
        found = fetch.source
    except CopiesUnusable as why:
        found = "for_good" if why.for_good else "in_vain"

    assert found == outcome
    assert "".join(one.storage for one in fetch.bad) == bad.replace("-", "")
    assert len(waited) == int(waits)


async def _done(fetch: FetchResult, folder: Path, get: object, wait: object) -> None:
    await fetch.run(folder / "x", get, wait)  # type: ignore[arg-type]


# -- what is chosen -----------------------------------------------------------------------------


def _work(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_each_file_goes_by_the_first_rule_that_it_matches(tmp_path: Path) -> None:
    work = _work(tmp_path, {"a.h5": "", "b.h5": "", "logs/a.txt": "", "other": ""})
    rules = [DataRule("a.*"), DataRule("**/*.txt"), DataRule("*.h5"), DataRule("*.zst")]

    chosen, absent = stage_out.choose(work, rules)

    assert [(one.rule, one.name) for one in chosen] == [
        (0, "a.h5"),
        (2, "b.h5"),
        (1, "logs/a.txt"),
    ]
    assert absent == ["*.zst"]


def test_metadata_lie_beside_their_file_and_are_no_output(tmp_path: Path) -> None:
    said = '{"run": 7, "good": true,\n "zenith": 20.5, "who": "a b"}'
    work = _work(tmp_path, {"x.h5": "", "x.h5.meta.json": said, "lonely.meta.json": "{}"})

    chosen, _ = stage_out.choose(work, [DataRule("*")])

    assert [one.name for one in chosen] == ["lonely.meta.json", "x.h5"]
    assert json.loads(chosen[1].metadata) == json.loads(said)


def test_what_was_brought_is_an_output_only_where_it_is_named(tmp_path: Path) -> None:
    work = _work(tmp_path, {"in.h5": "", "new.h5": "", ".pilotage/inputs.json": "[]"})
    brought = {"in.h5"}

    some, _ = stage_out.choose(work, [DataRule("**")], brought=brought)
    named, _ = stage_out.choose(work, [DataRule("in.h5")], brought=brought)
    again, _ = stage_out.choose(work, [DataRule("[i]n.h5", brought=True)], brought=brought)

    assert [one.name for one in some] == ["new.h5"]
    assert [one.name for one in named] == [one.name for one in again] == ["in.h5"]


BAD_METADATA = {
    "no JSON": "run: 7",
    "a list": "[1]",
    "a value that is a list": '{"run": [1]}',
    "nothing as a value": '{"run": null}',
    "what is no number": '{"run": NaN}',
    "infinity": '{"run": 1e999}',
    "a number that is too large": '{"run": 123456789012345678901234567890}',
    "very deep": "[" * 100_000,
    "too much": '{"a": "' + "x" * 70_000 + '"}',
    "numbers that are longer when they are told": '{"a": 1e15'
    + "".join(f', "{key}":1e15' for key in range(4_400))
    + "}",
    "half a character": r'{"a": "\ud800"}',
}


@pytest.mark.parametrize("which", BAD_METADATA)
def test_bad_metadata_are_refused_by_name(which: str, tmp_path: Path) -> None:
    work = _work(tmp_path, {"x": "", "x.meta.json": BAD_METADATA[which]})

    with pytest.raises(stage_out.BadMetadata, match=r"x\.meta\.json"):
        stage_out.choose(work, [DataRule("x")])


@pytest.mark.parametrize(
    "name", ["a b", "a\nb", "a\u200bb", "a" * 200 + "/" + "b" * 200 + "/c" * 80]
)
def test_names_that_no_file_of_the_catalogue_can_have_are_refused(
    name: str, tmp_path: Path
) -> None:
    work = _work(tmp_path, {name: ""})

    with pytest.raises(UnsafePath, match="cannot be published"):
        stage_out.choose(work, [DataRule("**")])


def test_a_link_that_leads_out_is_no_output(tmp_path: Path) -> None:
    work = _work(tmp_path / "work", {"a.h5": ""})
    (tmp_path / "secret.h5").write_text("secret")
    (work / "b.h5").symlink_to(tmp_path / "secret.h5")
    (work / "c.h5.meta.json").symlink_to("/etc/passwd")
    (work / "c.h5").write_text("")

    chosen, _ = stage_out.choose(work, [DataRule("*.h5")])

    assert [(one.name, one.metadata) for one in chosen] == [("a.h5", ""), ("c.h5", "")]


@pytest.mark.parametrize("letter", ["\N{GREEK SMALL LETTER GAMMA}", "\N{SNOWMAN}"])
def test_metadata_in_any_alphabet_fit_where_their_file_does(letter: str, tmp_path: Path) -> None:
    said = {"note": letter * (65_000 // len(letter.encode()))}
    work = _work(tmp_path, {"x": "", "x.meta.json": json.dumps(said, ensure_ascii=False)})

    (chosen,), _ = stage_out.choose(work, [DataRule("x")])

    check(_report(stage_out.published(chosen, TWO[0], "local/7/2/x", sums())))
    assert json.loads(chosen.metadata) == said


def _report(*stored: Published) -> Report:
    return Report(7, 2, 70, 3, What.ENDED, How.EXITED, 0, "d" * 4_000, published=stored)


def _request(report: Report) -> bytes:
    return encode(Turn("g" * 36, 7, (report,)))


# -- where it goes ------------------------------------------------------------------------------


def test_jobs_begin_at_different_storages_where_that_is_asked_for() -> None:
    storages = tuple(StorageAccess(one, "fake", "") for one in "ABC")

    def firsts(*, balanced: bool) -> list[str]:
        rule = DataRule("*", storages, balanced=balanced)
        return ["".join(one.storage for one in stage_out.order(rule, job)) for job in range(4)]

    assert firsts(balanced=True) == ["ABC", "BCA", "CAB", "ABC"]
    assert firsts(balanced=False) == ["ABC"] * 4


class FakeStorage:
    """Keeps bytes by place. `trouble` is raised by what is done at a URL."""

    def __init__(self) -> None:
        self.files: dict[CopyLocation, bytes] = {}
        self.trouble: dict[str, Exception] = {}
        self.trouble_at: dict[str, Exception] = {}  # of what is swept, by path
        self.asked: list[str] = []
        self.asking: Callable[[], None] = lambda: None

    def _ask(self, place: CopyLocation) -> None:
        self.asked.append(place.url)
        if place.url in self.trouble:
            raise self.trouble[place.url]

    def get(
        self, place: CopyLocation, to: Path, *, bytes_max: int, go_on: Callable[[], None]
    ) -> CopyChecksums:
        self._ask(place)
        if place not in self.files:
            raise CopyMissing("no")
        to.write_bytes(self.files[place])
        return sums(self.files[place])

    def put(self, source: Path, place: CopyLocation, *, go_on: Callable[[], None]) -> CopyChecksums:
        self._ask(place)
        self.files[place] = source.read_bytes()
        return sums(self.files[place])

    def size(self, place: CopyLocation) -> int:
        return len(self.files[place])

    def remove(self, place: CopyLocation) -> None:
        self._ask(place)
        self.files.pop(place, None)

    def sweep(
        self,
        place: CopyLocation,
        *,
        is_folder: bool,
        go_on: Callable[[], None],
        size: int | None = None,
    ) -> None:
        self._ask(place)
        self.asking()
        if place.path.startswith("kept"):
            raise StorageRefused("HTTP 405 Not Allowed")
        if place.path in self.trouble_at:
            raise self.trouble_at[place.path]
        self.files.pop(place, None)


class JumpingClock:
    """Time passes where somebody waits, at once: storages work in real threads."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds

    async def sleep(self, seconds: float) -> None:
        self.jump(seconds)


class Rig:
    """The data of a pilot on a fake storage, in a real folder."""

    def __init__(self, folder: Path) -> None:
        self.storage, self.folder = FakeStorage(), folder
        self.work = folder / "work"
        self.work.mkdir()
        self.log: list[str] = []
        drivers: dict[str, Storage] = {"fake": self.storage}
        self.clock = JumpingClock()
        self.data = DataFiles(drivers, self.clock, FakeRandomness(), self._note)

    def _note(self, event: str, facts: Mapping[str, object]) -> None:
        assert facts.keys() == EVENTS[event]
        self.log.append(event)

    def assignment(self, data: DataBody, *, command: tuple[str, ...] = ("true",)) -> Assignment:
        return Assignment(7, 2, 70, 120.0, "", Grant(1, 1, 1.0, 1), Body(command), data=data)

    def bring(self, *files: DataFile) -> None:
        data = DataBody("local/7/2", inputs=files)
        asyncio.run(self.data.bring(self.assignment(data), self.folder))

    def stored(self, *rules: DataRule, beside: tuple[Output, ...] = ()) -> StoredOutputs:
        assignment = self.assignment(DataBody("local/7/2", outputs=rules))
        return asyncio.run(self.data.store(assignment, self.folder, beside))

    def store(self, *rules: DataRule) -> tuple[str, How, list[str]]:
        stored = self.stored(*rules)
        return stored.failure, stored.how, [f"{p.storage}:{p.path}" for p in stored.published]

    def swept(self, *paths: str, type: str = "fake") -> tuple[Removed, ...]:
        removals = tuple(Removal(number, path) for number, path in enumerate(paths))
        data = DataBody(removals=removals, sweeps=StorageAccess("A", type, "fake://A"))
        stored = asyncio.run(self.data.store(self.assignment(data), self.folder))
        assert not stored.failure
        return stored.removed

    def sweep(self, *paths: str, type: str = "fake") -> dict[int, str]:
        return {one.remnant: one.why for one in self.swept(*paths, type=type)}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_data_lie_where_the_payload_finds_them(rig: Rig) -> None:
    rig.storage.files[CopyLocation("fake://A", "data/run1")] = CONTENT
    rig.bring(data_file("A", path="in/run1"), data_file("A", did="ctao:x", path="run2"))

    listed = json.loads((rig.work / ".pilotage/inputs.json").read_text())
    assert (rig.work / "in/run1").read_bytes() == CONTENT
    assert [one["did"] for one in listed] == ["ctao:run1", "ctao:x"]
    assert [Path(one["path"]).read_bytes() for one in listed] == [CONTENT, CONTENT]
    assert rig.data.bytes_in(70) == 2 * len(CONTENT)


def test_a_storage_that_is_away_is_waited_for_and_not_for_ever(rig: Rig) -> None:
    rig.storage.trouble["fake://A"] = StorageUnavailable("away")

    with pytest.raises(StageInFailed) as raised:
        rig.bring(data_file("A"))

    assert raised.value.how is How.INPUT
    assert 60 < len(rig.storage.asked) < 600
    assert set(rig.log) == {"data_not_moved"}


def test_a_copy_that_was_given_up_changes_no_file(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.storage.files[CopyLocation("fake://B", "data/run1")] = CONTENT
    left: list[IO[bytes]] = []
    get = rig.storage.get

    def hangs_at_a(place: CopyLocation, to: Path, **given: Any) -> CopyChecksums:
        if place.url == "fake://A":
            left.append(to.open("wb"))
            raise StorageUnavailable("it was not finished")
        return get(place, to, **given)

    monkeypatch.setattr(rig.storage, "get", hangs_at_a)
    rig.bring(data_file("A", "B"))
    left[0].write(b"rubbish!")
    left[0].close()

    assert (rig.work / "run1").read_bytes() == CONTENT


def test_copies_that_are_all_bad_end_the_job_with_a_word_that_names_the_file(rig: Rig) -> None:
    rig.storage.files[CopyLocation("fake://A", "data/run1")] = b"PHOTONS\n"
    with pytest.raises(
        StageInFailed, match="ctao:run1: A: its adler32 is not that of the file"
    ) as raised:
        rig.bring(data_file("A"))

    assert raised.value.how is How.NO_START
    assert [(one.did, one.storage) for one in rig.data.bad(70)] == [("ctao:run1", "A")]
    assert f"{zlib.adler32(b'PHOTONS' + bytes([10])):08x}" not in str(raised.value)  # not theirs


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "a/../../x", ""])
def test_no_path_of_data_leads_out_of_the_folder(rig: Rig, path: str) -> None:
    rig.storage.files[CopyLocation("fake://A", "data/run1")] = CONTENT
    with pytest.raises(StageInFailed) as raised:
        rig.bring(data_file("A", path=path))

    assert raised.value.how is How.NO_START


def test_a_link_that_an_archive_has_laid_is_not_followed(rig: Rig, tmp_path: Path) -> None:
    rig.storage.files[CopyLocation("fake://A", "data/run1")] = CONTENT
    (tmp_path / "outside").mkdir()
    (rig.work / "in").symlink_to(tmp_path / "outside")
    with pytest.raises(StageInFailed) as raised:
        rig.bring(data_file("A", path="in/run1"))

    assert raised.value.how is How.NO_START
    assert list((tmp_path / "outside").iterdir()) == []


def test_more_data_than_was_granted_is_not_begun(rig: Rig) -> None:
    large = DataFile("ctao:x", "x", 2_000_000, "", "", ())
    with pytest.raises(StageInFailed, match="scratch_mb is 1") as raised:
        rig.bring(large)

    assert raised.value.how is How.NO_START


TWO = tuple(StorageAccess(one, "fake", f"fake://{one}") for one in "AB")


@pytest.mark.parametrize("trouble", [StorageFull("no room"), CopyMissing("HTTP 404 Not Found")])
def test_outputs_go_to_the_first_storage_that_takes_them(rig: Rig, trouble: Exception) -> None:
    _work(rig.work, {"a": "1", "d/b": "2"})
    rig.storage.trouble["fake://A"] = trouble

    failure, _, published = rig.store(DataRule("**", TWO))

    assert (failure, published) == ("", ["B:local/7/2/~2/a", "B:local/7/2/d/b"])
    assert rig.storage.asked.count("fake://A") == 1  # what is full is not asked for each file


def test_where_no_storage_takes_them_nothing_stays_and_the_job_runs_again(rig: Rig) -> None:
    _work(rig.work, {"a": "1", "b": "2"})
    only_a = DataRule("a", TWO[:1])
    rig.storage.trouble["fake://B"] = StorageUnavailable("away")

    failure, how, published = rig.store(only_a, DataRule("b", TWO[1:]))

    assert (failure, how, published) == ("b: B: away", How.STORAGE, [])
    assert rig.storage.files == {}


def test_what_is_wanted_and_missing_is_named_before_anything_is_stored(rig: Rig) -> None:
    _work(rig.work, {"a": "1"})

    failure, how, published = rig.store(DataRule("a", TWO), DataRule("*.h5", TWO))

    assert (failure, how, published) == ("no file matches *.h5", How.OUTPUT, [])
    assert rig.storage.asked == []


def test_too_many_files_are_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_out, "OUTPUT_FILES_MAX", 2)
    _work(rig.work, dict.fromkeys("abc", ""))

    with pytest.raises(TooLarge):
        stage_out.choose(rig.work, [DataRule("*")])
    assert rig.store(DataRule("*", TWO))[1] is How.OUTPUT


def _many(work: Path, files: int, said_bytes: int) -> None:
    """Outputs with metadata, and how many bytes each of those has."""
    said = json.dumps({"run": 7, "note": "x" * (said_bytes - 22)})
    assert len(said) == said_bytes
    for number in range(files):
        _work(work, {f"run{number}.h5": "", f"run{number}.h5.meta.json": said})


def test_many_outputs_with_metadata_are_one_report_that_the_central_reads(rig: Rig) -> None:
    _many(rig.work, 600, 1_000)

    stored = rig.stored(DataRule("*.h5", TWO))

    assert not stored.failure
    assert len(stored.published) == 600
    check(_report(*stored.published))
    assert 700_000 < len(_request(_report(*stored.published))) < SMALL_MAX


def test_more_metadata_than_a_report_carries_are_refused_before_anything_is_stored(
    rig: Rig,
) -> None:
    _many(rig.work, 600, 1_600)

    stored = rig.stored(DataRule("*.h5", TWO))

    said = re.fullmatch(
        r"names and metadata of the 600 files that match: found (\d+) bytes in the report, "
        r"expected at most 999996; the metadata take (\d+) of these",
        stored.failure,
    )
    assert said
    assert 900_000 < int(said[2]) < int(said[1]) < 1_200_000
    assert (stored.how, stored.published, rig.storage.asked) == (How.OUTPUT, (), [])


def test_what_else_a_report_says_leaves_less_for_metadata(rig: Rig) -> None:
    _many(rig.work, 600, 1_000)
    kept = tuple(Output(f"logs/{n}-{'x' * 200}", "0" * 64, 1) for n in range(900))

    stored = rig.stored(DataRule("*.h5", TWO), beside=kept)

    assert "expected at most 7" in stored.failure
    assert rig.storage.asked == []


def test_a_report_names_a_hundred_bad_copies(rig: Rig) -> None:
    rig.storage.files[CopyLocation("fake://B", "data/run1")] = CONTENT
    rig.storage.files[CopyLocation("fake://A", "data/run1")] = b"other\n"
    rig.bring(*(data_file("A", "B", path=f"in/{number}") for number in range(101)))

    assert len(rig.data.bad(70)) == 100


def test_a_type_of_storage_that_a_pilot_does_not_know_is_said(rig: Rig) -> None:
    _work(rig.work, {"a": "1"})

    failure, how, _ = rig.store(DataRule("a", (StorageAccess("T", "tape", "tape://"),)))

    assert how is How.STORAGE
    assert "not support storages of the type 'tape', only fake" in failure


# -- what nobody names --------------------------------------------------------------------------


def test_a_sweep_says_of_each_what_became_of_it(rig: Rig) -> None:
    rig.storage.files[CopyLocation("fake://A", "a")] = rig.storage.files[
        CopyLocation("fake://A", "b")
    ] = CONTENT

    assert rig.sweep("a", "kept", "never was") == {0: "", 1: "HTTP 405 Not Allowed", 2: ""}
    assert list(rig.storage.files) == [CopyLocation("fake://A", "b")]


def test_a_storage_that_is_away_is_asked_for_three_and_no_more(rig: Rig) -> None:
    rig.storage.trouble["fake://A"] = StorageUnavailable("not mounted")

    assert rig.swept("a", "b", "c", "d", "e") == (
        Removed(0, "not mounted"),
        Removed(1, "not mounted"),
        Removed(2, "not mounted"),
        Removed(3, "not tried: not mounted", tried=False),
        Removed(4, "not tried: not mounted", tried=False),
    )
    assert len(rig.storage.asked) == 3


@pytest.mark.parametrize(
    "trouble",
    [
        StorageUnavailable("HTTP 423 Locked"),
        StorageUnavailable(),
        ValueError("too deep"),
        OSError("EIO"),
    ],
)
def test_what_is_wrong_with_some_keeps_no_other_waiting(rig: Rig, trouble: Exception) -> None:
    rig.storage.trouble_at = dict.fromkeys(("a", "b", "d", "e"), trouble)

    told = rig.swept("a", "b", "c", "d", "e", "f")

    assert [one.remnant for one in told if not one.why] == [2, 5]
    assert all(one.tried for one in told)


def test_a_sweep_ends_in_its_time_and_tells_what_it_has_done(rig: Rig) -> None:
    rig.storage.asking = lambda: rig.clock.jump(0.3)  # of the second that it has

    assert rig.swept("a", "b", "c", "d") == (
        Removed(0),
        Removed(1),
        Removed(2, "not tried: no time was left for it", tried=False),
        Removed(3, "not tried: no time was left for it", tried=False),
    )


def test_a_sweep_of_a_storage_of_an_unknown_type_fails(rig: Rig) -> None:
    assert "not support storages of the type 'tape'" in rig.sweep("a", type="tape")[0]


# -- what a payload is told ---------------------------------------------------------------------


def test_a_command_names_its_data_where_it_says_so(rig: Rig) -> None:
    data = DataBody("f", inputs=(data_file(path="a"), data_file(path="in/b")))
    command = ("merge", "{inputs}", "x{inputs}", "-o", "out")
    given = with_data(rig.assignment(data, command=command), Path("/p"))

    whole = ("merge", "/p/work/a", "/p/work/in/b", "x{inputs}", "-o", "out")
    assert given.body.command == whole
    assert environment_of(given, Path("/p"), Outfit("session", {}))["PILOTAGE_INPUTS"] == (
        "/p/work/a\n/p/work/in/b"
    )


def test_more_data_than_a_variable_holds_are_in_the_file_alone(rig: Rig) -> None:
    many = tuple(data_file(path=f"{number:0200}") for number in range(1_000))
    assignment = rig.assignment(DataBody("f", inputs=many))

    assert "PILOTAGE_INPUTS" not in environment_of(assignment, Path("/p"), Outfit("session", {}))


@pytest.mark.parametrize("upload_s", [60.0, 600.0])
def test_outputs_wait_for_storages_as_long_as_is_set(rig: Rig, upload_s: float) -> None:
    clock = JumpingClock()
    drivers: dict[str, Storage] = {"fake": rig.storage}
    logged: list[str] = []

    def log(event: str, fields: Mapping[str, object]) -> None:
        logged.append(event)

    rig.data = DataFiles(drivers, clock, FakeRandomness(), log, upload_s=upload_s)
    (rig.work / "b").write_bytes(b"x")
    rig.storage.trouble["fake://B"] = StorageUnavailable("away")

    failure, how, published = rig.store(DataRule("b", (StorageAccess("B", "fake", "fake://B"),)))
    assert (failure, how, published) == ("b: B: away", How.STORAGE, [])
    assert upload_s <= clock.now() < upload_s + 120.0
