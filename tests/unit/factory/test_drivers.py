"""Drivers are found by entry points, ours and those of others."""

import importlib
import sys
from pathlib import Path

import msgspec
import pytest

from pilotage.central.factory.drivers import Tools, driver, element, kinds
from pilotage.central.factory.errors import BadOptions, NoSuchDriver
from pilotage.central.factory.guarded_drivers import GuardedElement

from .test_credentials import Printing
from .test_factory import HandClock

CODE = """
import msgspec
from pilotage.central.factory.drivers import Driver

class Options(msgspec.Struct, forbid_unknown_fields=True):
    door: str

class Abacus:
    def __init__(self, options, tools):
        self.door = options.door

DRIVER = Driver(Options, Abacus)
NO_DRIVER = 7
"""
ENTRIES = """
[pilotage.elements]
abacus = abacus_elements:DRIVER
broken = abacus_elements:GONE
odd = abacus_elements:NO_DRIVER
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Install a package of somebody else, and return what its driver may use."""
    (tmp_path / "abacus_elements.py").write_text(CODE)
    facts = tmp_path / "abacus_elements-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: abacus-elements\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    return Tools(Printing(), HandClock(), tmp_path)


def test_a_driver_of_others_is_used_like_ours(tools: Tools) -> None:
    made = element("abacus", {"door": "north"}, tools)

    assert {"abacus", "slurm", "htcondor", "arc", "ssh", "local"} <= set(kinds())
    assert isinstance(made, GuardedElement)
    assert getattr(made.within, "door", None) == "north"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("broken", "cannot be loaded"),
        ("odd", "is not a Driver"),
        ("abacus", "options.door: is required and missing"),
    ],
)
def test_what_is_wrong_with_it_is_told(tools: Tools, kind: str, told: str) -> None:
    with pytest.raises(BadOptions, match=told):
        element(kind, {}, tools)


LOGIN = {"host": "a", "user": "b", "key_file": "/key", "known_hosts": "/hosts"}


@pytest.mark.parametrize("batch", ["arc", "kubernetes", "local", "ssh", "abacus", "sge", "broken"])
def test_behind_ssh_stands_only_what_works_by_programs(tools: Tools, batch: str) -> None:
    with pytest.raises(BadOptions, match=r"^options.batch: .*(htcondor, slurm|cannot be loaded)"):
        element("ssh", {**LOGIN, "batch": batch, "batch_options": {"door": "north"}}, tools)


def test_a_batch_system_that_nobody_has_is_told_with_the_nearest(tools: Tools) -> None:
    with pytest.raises(BadOptions, match=r"^options.batch: there is no .*; did you mean 'slurm'\?"):
        element("ssh", {**LOGIN, "batch": "slrum"}, tools)


@pytest.mark.parametrize("kind", ["arc", "htcondor", "kubernetes", "local", "slurm", "ssh"])
def test_the_files_that_a_driver_names_are_options_of_it(kind: str) -> None:
    found = driver(kind)
    named = {
        one.name
        for one in msgspec.structs.fields(found.options)
        if one.name.endswith("_file") or one.name in ("known_hosts", "config")
    }

    assert set(found.files) == named


def test_a_kind_that_nobody_has_is_named(tools: Tools) -> None:
    with pytest.raises(NoSuchDriver, match="there is no driver 'sge'; known drivers: abacus, arc"):
        driver("sge")
