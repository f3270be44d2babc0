"""What the central takes into force of an element, and doctor too: options with all the rest."""

from typing import Any

import msgspec
import pytest

from pilotage.central.factory.errors import BadOptions
from pilotage.central.factory.site_files.element_checks import fitting
from pilotage.central.factory.site_files.sites import ElementEntry

TOKEN = {"source": "file", "options": {"path": "/token"}}
ARC: dict[str, Any] = {"kind": "arc", "options": {"url": "https://ce"}}
KUBERNETES: dict[str, Any] = {
    "kind": "kubernetes",
    "options": {"url": "https://k", "namespace": "n", "image": "debian:13"},
}
CONDOR: dict[str, Any] = {"kind": "htcondor"}
SSH: dict[str, Any] = {
    "kind": "ssh",
    "options": {
        "host": "a",
        "user": "b",
        "key_file": "/key",
        "known_hosts": "/hosts",
        "batch": "htcondor",
        "batch_options": {"folder": "/shared"},
    },
}
WHOLE = {"shapes": [{"cores": 64, "whole_node": True}]}
LOCAL: dict[str, Any] = {"kind": "local"}
SLURM: dict[str, Any] = {"kind": "slurm"}


def read(*said: dict[str, Any]) -> ElementEntry:
    whole: dict[str, Any] = {}
    for one in said:
        whole |= one
    return msgspec.convert(whole, ElementEntry)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (read(ARC), "credential: is required: a token for access 'token'"),
        (
            read(ARC, {"options": {"url": "https://ce", "access": "certificate"}}),
            "credential: is required: a certificate for access 'certificate'",
        ),
        (read(KUBERNETES), "credential: is required"),
        (read(KUBERNETES, WHOLE, {"credential": TOKEN}), "options.node_cores: found 0"),
        (read(CONDOR, WHOLE), "options.node_cores: found 0"),
        (read(SSH, WHOLE), "options.node_cores: found 0"),
        (read(LOCAL, {"credential": TOKEN}), "credential: an element of kind 'local' takes none"),
        (read({"kind": "lokal"}), "kind: there is no driver 'lokal'"),
        (read(CONDOR, {"options": {"shed": "ce"}}), "options.shed: there is no field"),
        (
            read(
                LOCAL,
                {"shapes": [{"wall_s": 9_000}, {"wall_s": 3_600}]},
                {"pilot": {"stop_margin_s": 3_600}},
            ),
            "pilot.stop_margin_s: found 3600 s, but shapes.1 runs for 3600 s",
        ),
        (
            read(LOCAL, {"shapes": [{"wall_s": 61}, {"wall_s": 60}]}),
            "shapes.1.wall_s: found 60, expected more than 60 s, the default time",
        ),
        *(
            (
                read(SLURM, {"options": {"folder": "/shared", "extra": [word]}}),
                f"options: extra: {word.partition('=')[0]}",
            )
            for word in (
                *("--nodes=9", "--ntasks=4", "--array=1-9", "--output=/tmp/x", "--clusters=all"),
                *("--arr=1-9", "--outp=/tmp/x", "--n=2", "--gpus-per-node=1", "--help"),
            )
        ),
        *(
            (
                read(CONDOR, {"options": {"lines": [line]}}),
                f"options: lines: {line.partition('=')[0].strip()} is set by pilotage",
            )
            for line in (
                *("universe = local", "Executable = /bin/x", "output=x", "hold = True"),
                *("+PilotageStamp = 1", "MY.Cmd = 1", "request_cpus = 9", "getenv = True"),
                *("transfer_input_files = a", "periodic_remove = False", "max_retries = 3"),
            )
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(entry: ElementEntry, why: str) -> None:
    with pytest.raises(BadOptions) as refused:
        fitting(entry)

    assert str(refused.value).startswith(why)


@pytest.mark.parametrize(
    "entry",
    [
        read(ARC, {"credential": TOKEN}),
        read(KUBERNETES, {"credential": TOKEN}),
        read(CONDOR, WHOLE, {"options": {"node_cores": 64}}),
        read(SSH),
        read(SLURM, {"options": {"folder": "/s", "extra": ["--constraint=avx2", "--nodelist=a"]}}),
        read(CONDOR, {"options": {"lines": ["accounting_group = a", "+Out2 = 1"]}}),
        read(LOCAL, {"shapes": [{"wall_s": 61}]}),
        read(LOCAL, WHOLE, {"pilot": {"stop_margin_s": 600}}),
    ],
)
def test_what_can_be_is_taken(entry: ElementEntry) -> None:
    found, options = fitting(entry)

    assert isinstance(options, found.options)
