"""A job as JDL, which gives the same job when it is read again."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from pilotage.central.workflows.jdl.writing import jdl_of
from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.documents.job import (
    DataInput,
    DataOutput,
    Input,
    Job,
    JobData,
    JobLimits,
    Need,
    OutputPattern,
)

from .reading import CONTEXT, job, read

WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TRICKY = st.sampled_from(
    [
        "%j",
        "%s",
        "%n",
        "%(X)s",
        'say "hi"',
        "back\\",
        '\\"',
        "a\n#b",
        " x ",
        "a,b",
        "{job}",
        ";",
        "",
    ]
)
TEXTS = ANY_TEXT | TRICKY | WORDS
SITES = st.lists(WORDS, max_size=3, unique=True).map(tuple)
NEEDS = st.builds(
    Need,
    sites=SITES,
    banned_sites=SITES,
    element=WORDS | st.just(""),
    os=st.sampled_from(["", "el9", "debian13", "odd"]),
    architecture=st.sampled_from(["", "x86_64", "riscv64"]),
    glibc_min=st.sampled_from(["", "2.17"]),
    cores_min=st.integers(1, 8),
    cores_max=st.sampled_from([0, 8, 64, 4096]),
    memory_mb=st.integers(0, 10_000),
    wall_s=st.integers(1, 600_000),
    tags=st.sampled_from(["", "a", "a & b", "a | ~b", "MultiProcessor", "4Processors"]),
    whole_node=st.booleans(),
    cpu_work_hs23_s=st.integers(0, 10**6),
    gpus_min=st.integers(0, 2),
)
DATA = st.builds(
    JobData,
    inputs=st.lists(
        st.builds(DataInput, did=st.sampled_from(["users:a/b", "vo:a", "users:a b"])), max_size=2
    ).map(tuple),
    outputs=st.lists(
        st.builds(
            DataOutput,
            pattern=TEXTS.filter(bool),
            name=st.sampled_from(["ada/{job}/{file}", "x/{{y}}/{file}", "{job}/{file}"]),
            storages=st.sampled_from([(), ("S1",), ("S1", "S2")]),
        ),
        max_size=2,
    ).map(tuple),
)
JOBS = st.builds(
    Job,
    command=st.lists(TEXTS, min_size=1, max_size=4).map(tuple),
    name=TEXTS,
    type=WORDS,
    group=WORDS | st.just(""),
    environment=st.dictionaries(WORDS, TEXTS, max_size=2),
    outputs=st.lists(
        st.builds(OutputPattern, pattern=TEXTS.filter(bool), required=st.booleans()), max_size=2
    ).map(tuple),
    retries=st.integers(0, 3),
    priority=st.integers(0, 10),
    needs=st.lists(NEEDS, min_size=1, max_size=2).map(tuple),
    data=st.none() | DATA,
    stdout_file=st.sampled_from(["", "std.out", "my.out"]),
    stderr_file=st.sampled_from(["", "std.err"]),
    id_placeholder=st.sampled_from(["", "%j"]),
)


@settings(max_examples=500, deadline=None)
@given(JOBS)
def test_a_random_job_is_the_same_after_a_round_trip(given_job: Job) -> None:
    text = jdl_of(given_job, CONTEXT)

    assert read(text).jobs[0].job == given_job


@pytest.mark.parametrize(
    "text",
    [
        'Arguments = "-n \'a b\'"; JobName = "gamma %j"; Site = "A,B"; CPUTime = 5000;',
        'OutputSandbox = {"std.out", "*.log"}; StdError = ""; Platform = "x86_64-el9";',
        'InputData = "/a/b"; OutputData = {"x.h5", "y.h5"}; OutputSE = {"S1"}; OutputPath = "/p";',
        "MinNumberOfProcessors = 2; WholeNode = true; MinRAM = 100; Tags = {a, GPU}; Priority = 7;",
        'ExecutionEnvironment = {"A=b c"}; GridCE = "ce"; BannedSites = "X"; JobType = "Test";',
        "MinNumberOfProcessors = 2; MaxNumberOfProcessors = 6; Platform = {el9, centos7};",
    ],
)
def test_a_description_comes_back_without_our_own_form(text: str) -> None:
    before = job(text)
    after = jdl_of(before, CONTEXT)

    assert "Pilotage" not in after
    assert job(after) == before


def test_what_jdl_has_no_word_for_stands_in_one_attribute() -> None:
    given_job = Job(
        command=("./run.sh", "%(X)s"),
        image="/cvmfs/image",
        limits=JobLimits(stall_s=0),
        inputs=(Input(name="run.sh", sha256="0" * 64, size_bytes=3),),
    )

    text = jdl_of(given_job, CONTEXT, label="prod6")

    assert '    JobGroup = "prod6";\n' in text
    assert [line.split()[0] for line in text.splitlines() if "image" in line] == ["Pilotage"]
    assert read(text).jobs[0].job == given_job


def test_a_central_with_other_rules_reads_its_own_descriptions() -> None:
    context = JdlContext(group="g", scope="vo", hs23_per_hs06=0, wall_min_s=1)
    made = job('CPUTime = 500; InputData = "/a"; OutputData = "b"', context)

    text = jdl_of(made, context)

    assert "Pilotage" not in text
    assert job(text, context) == made
    assert msgspec.json.decode(msgspec.json.encode(made), type=Job) == made
