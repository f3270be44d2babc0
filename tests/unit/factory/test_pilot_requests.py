"""What a site's file says of pilots is what their script tells them."""

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pilotage.central.entry_files import BadEntryFile
from pilotage.central.factory.elements.kubernetes_objects import job_name
from pilotage.central.factory.pilot_requests import PilotDefaults, new_pilot
from pilotage.central.factory.site_files.sites import PilotEntry, Shape, read_site
from pilotage.pilot.settings import Settings

from .test_factory import Counting, HandClock, an_element

ORIGIN = PilotDefaults("ctao", "https://central:8470", "#!/bin/sh\n", hide=("/central",))
OF_THE_CENTRAL = {"central", "secret_file", "state_dir", "remove_state", "plain_http"}
OF_SHAPES = {"cores", "memory_mb", "scratch_mb", "wall_s", "gpus"}
# Pilots find it, and take it by hand where no GPUs are found; NodesEntry says it for the plan.
OF_NODES = {
    *("gpu_model", "gpu_vendor", "gpu_memory_mb", "gpu_compute_capability", "gpu_driver"),
}


def script_of(origin: PilotDefaults = ORIGIN, **entry: Any) -> str:
    element, _ = an_element(**entry)
    request, _ = new_pilot(
        origin, element, Shape(), "shape 0", clock=HandClock(), randomness=Counting()
    )
    return request.script.decode()


def test_every_option_of_a_pilot_can_be_said_of_a_site_or_is_said_elsewhere() -> None:
    options = {one.name for one in dataclasses.fields(Settings)}
    said = {one.name for one in msgspec.structs.fields(PilotEntry)}

    assert said == options - OF_THE_CENTRAL - OF_SHAPES - OF_NODES


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"image_tools": ("apptainer", "podman")}, "--image-tools=apptainer,podman"),
        ({"module_init": "/etc/modules.sh"}, "--module-init=/etc/modules.sh"),
        ({"cvmfs_root": "/scratch/cvmfs"}, "--cvmfs-root=/scratch/cvmfs"),
        ({"hs23_per_score": 12.5}, "--hs23-per-score=12.5"),
        ({"checkpoint_mb": 4_000}, "--checkpoint-mb=4000"),
        ({"checkpoint_mb": 0}, "--checkpoint-mb=0"),
        ({"benchmark_s": 0.0}, "--benchmark-s=0"),
        ({"unanswered_s": 0.0}, "--unanswered-s=0"),
        ({"time_look_s": 60.0}, "--time-look-s=60"),
        ({"hide": ("/secrets",)}, "--hide=/secrets"),
        ({"ca": "/etc/ca.pem"}, "--ca=/etc/ca.pem"),
    ],
)
def test_what_is_said_of_pilots_reaches_them_and_nothing_else(
    said: dict[str, Any], word: str
) -> None:
    name = word.partition("=")[0]

    assert f" {word} " in script_of(pilot=PilotEntry(**said))
    assert f"{name}=" not in script_of()


def test_on_our_own_machine_payloads_see_neither_our_files_nor_those_of_the_site() -> None:
    script = script_of(kind="local", pilot=PilotEntry(hide=("/secrets",)))

    assert "--hide=/central,/secrets " in script


def test_on_our_own_machine_pilots_trust_the_authority_that_the_central_trusts() -> None:
    origin = dataclasses.replace(ORIGIN, ca="/etc/ours.pem")

    assert "--ca=/etc/ours.pem " in script_of(origin, kind="local")
    assert "--ca" not in script_of(origin, kind="slurm")
    theirs = script_of(origin, kind="local", pilot=PilotEntry(ca="/etc/theirs.pem"))
    assert "--ca=/etc/theirs.pem " in theirs


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ca: ca.pem", "pilot.ca: .*absolute path"),
        ("image_tools: [docker]", "pilot.image_tools: .*apptainer"),
        ("module_init: modules.sh", "pilot.module_init: .*absolute path"),
        ("benchmark_s: 3", "pilot.benchmark_s"),
        ("checkpoint_mb: -1", "pilot.checkpoint_mb"),
        ("hs23_per_score: -1", "pilot.hs23_per_score"),
    ],
)
def test_what_no_pilot_takes_is_refused_with_its_line(tmp_path: Path, said: str, told: str) -> None:
    file = tmp_path / "PIC.yaml"
    file.write_text(f"elements:\n  it:\n    kind: local\n    pilot:\n      {said}\n")

    with pytest.raises(BadEntryFile, match=f"PIC.yaml:5: elements.it.{told}"):
        read_site(file)


@pytest.mark.parametrize("token", ["a1B_", "a1B-", "a1--", "----"])
def test_the_name_of_a_pilot_is_one_that_kubernetes_takes_as_it_is(token: str) -> None:
    class Fixed(Counting):
        def token(self, size: int = 32) -> str:
            return token

    element, _ = an_element()
    request, _ = new_pilot(
        ORIGIN, element, Shape(), "shape 0", clock=HandClock(), randomness=Fixed()
    )

    assert job_name(request.stamp) == request.stamp
