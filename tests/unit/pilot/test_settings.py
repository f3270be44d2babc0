"""Where a pilot's settings come from, and which are refused."""

from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.settings import BadSettings, load, read_secret


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pilot.json"
    file.write_text('{"central": "https://a", "cores": 2, "tags": ["x"], "idle_s": 5}')
    environment = {"PILOTAGE_PILOT__CORES": "4", "PILOTAGE_PILOT__TAGS": "a, b", "PATH": "/bin"}

    settings = load(str(file), environment, {"cores": 8, "central": None})

    assert (settings.central, settings.cores, settings.tags) == ("https://a", 8, ("a", "b"))
    assert settings.idle_s == 5.0


REFUSED: list[tuple[str, Any, str]] = [
    ("cores", "many", "--cores: found 'many', expected a whole number"),
    ("cores", 70_000, "--cores: found 70000, expected a whole number from 0 to 65536"),
    ("memory_mb", -1, "--memory-mb: found -1, expected a whole number from 0 to 1000000000000"),
    ("plain_http", "perhaps", "--plain-http: found 'perhaps', expected true or false"),
    ("wall_s", True, "--wall-s: found True, expected a number"),
    ("wall_s", "nan", "--wall-s: found nan, expected a number from 0 to 316224000"),
    ("wall_s", 10, "--wall-s: found 10, expected more than 60 s, in which payloads are stopped"),
    ("isolation", "none", "--isolation: found 'none', expected one of auto, namespaces"),
    ("central", "", "--central URL is needed"),
    ("colour", "red", "--colour: unknown setting; known are amounts, architecture, benchmark_s"),
    ("core", "1", "--core: unknown setting; did you mean cores?"),
    ("tags", "a&b", "--tags: found 'a&b', expected letters, digits and . _ : / @ + - only"),
    ("amounts", "net", "--amounts: found 'net', expected NAME=AMOUNT, as in bandwidth_mbps=100"),
    ("amounts", "gpus=1", "--amounts: gpus is built in: use the field gpus"),
    ("amounts", {"licence.x": 1}, "--amounts: licence.x: a name with a dot is a pool"),
    ("required_tags", ("a", "b c"), "--required-tags: found 'b c', expected letters"),
    ("owners", "a\tb", "--owners: found 'a\\tb', expected at most 128 characters, no control"),
    ("os", "el 9", "--os: found 'el 9', expected letters"),
    ("benchmark_s", 3, "--benchmark-s: found 3.0, expected a number from 0 to 2"),
    ("cvmfs", "../etc", "--cvmfs: found '../etc', expected a name as in sw.cta-observatory.org"),
    ("gpus", 5_000, "--gpus: found 5000, expected a whole number from 0 to 1024"),
    (
        "gpu_vendor",
        "Nvidia",
        "--gpu-vendor: found 'Nvidia', expected lower-case letters, as in nvidia",
    ),
    ("gpu_compute_capability", "v8", "--gpu-compute-capability: found 'v8', expected numbers"),
    ("gpu_driver", "latest", "--gpu-driver: found 'latest', expected numbers with points"),
    ("gpu_memory_mb", 80_000, "--gpu-memory-mb: it describes the GPUs: set their number (gpus)"),
]


@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_a_bad_setting_is_refused_with_what_would_be_right(
    name: str, value: Any, said: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        load("", {}, {"central": "https://a", name: value})

    assert str(caught.value).startswith(said)


def test_a_bad_setting_is_named_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "pilot.json"
    file.write_text('{"central": "https://a", "gpus": 2, "gpu_vendor": "AMD"}')
    with pytest.raises(BadSettings, match="pilot.json: gpu_vendor: found 'AMD'"):
        load(str(file), {}, {})
    variable = {"PILOTAGE_PILOT__GPU_VENDOR": "Intel"}
    with pytest.raises(BadSettings, match="^PILOTAGE_PILOT__GPU_VENDOR: found 'Intel'"):
        load(str(file), variable, {})

    assert load(str(file), variable, {"gpu_vendor": "intel"}).gpu_vendor == "intel"


def test_all_that_can_be_declared_is_taken() -> None:
    settings = load(
        "",
        {},
        {
            "central": "https://a",
            "tags": "cvmfs:cta.in2p3.fr, fast+ssd",
            "amounts": {"net": 10, "shm": 0},
            "owners": ("Ada Lovelace", "https://issuer.example/ada"),
            "gpus": 2,
            "gpu_model": "NVIDIA A100-SXM4 80GB",
            "gpu_vendor": "nvidia",
            "gpu_compute_capability": "8.0",
            "gpu_driver": "535.104.05",
        },
    )

    assert settings.tags == ("cvmfs:cta.in2p3.fr", "fast+ssd")
    assert settings.amounts == ("net=10", "shm=0")
    assert settings.owners == ("Ada Lovelace", "https://issuer.example/ada")


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("word\n")
    file.chmod(0o644)
    with pytest.raises(BadSettings, match="0600"):
        read_secret(str(file))
    file.chmod(0o600)

    assert read_secret(str(file)) == "word"
