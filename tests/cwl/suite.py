"""The conformance tests of CWL v1.2, with programs of our own in place of those of the suite.

`make cwl` runs all of them. The documents are those of the suite (Apache-2.0). It lies beside the
checkout as `../shared/data/cwl-v1.2`, or in the folder that `CWL_SUITE` names.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml

from tests.tidy.tree import ROOT

PROGRAMS: Final = Path(__file__).parent / "programs"
# Tests that nothing here can pass: the first needs the start program of an image, the second the
# internet.
EXCEPT: Final = ("docker_entrypoint", "networkaccess")
COLD: Final = Path(sys.executable).parent / "pilotage-cwl-runner"
_FAILED: Final = re.compile(r"Test (\d+) (?:failed|timed out): ")
_PASSED: Final = re.compile(r"(\d+) tests passed,.* \d+ unsupported features")


def documents() -> Path:
    """Return the folder of the suite."""
    return Path(os.environ.get("CWL_SUITE") or ROOT.parent / "shared" / "data" / "cwl-v1.2")


def laid(folder: Path) -> Path:
    """Copy the suite and our programs to a folder, and return it."""
    shutil.copytree(documents(), folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    shutil.copytree(
        PROGRAMS,
        folder / "tests",
        ignore=shutil.ignore_patterns("__init__.py", "__pycache__"),
        dirs_exist_ok=True,
    )
    return folder


def names(folder: Path) -> list[str]:
    """Return the names of the tests that can pass here."""
    return [one for one in _ids(folder / "conformance_tests.yaml") if one not in EXCEPT]


def _ids(file: Path) -> Iterator[str]:
    for one in yaml.safe_load(file.read_text()):
        if "$import" in one:
            yield from _ids(file.parent / one["$import"])
        else:
            yield one["id"]


def run(
    folder: Path,
    tests: Sequence[str],
    *,
    tool: Path = COLD,
    runner: Sequence[str] = ("--local",),
    jobs: int = 2,
) -> tuple[int, str]:
    """Run some tests; return how many did not pass, and their names.

    A test that ends with 33, for "not supported", has no name there.
    """
    all_ids = list(_ids(folder / "conformance_tests.yaml"))
    # By number: cwltest does not find the first test by its name.
    numbers = ",".join(str(all_ids.index(one) + 1) for one in tests)
    words = [
        *(str(COLD.parent / "cwltest"), "--test", "conformance_tests.yaml", "-n", numbers),
        *("--tool", str(tool), "-j", str(jobs), "--timeout", "300"),
        *("--", *runner),
    ]
    # cwltest leaves a folder for each test in the temporary folder.
    with tempfile.TemporaryDirectory(prefix="pilotage-cwl-", ignore_cleanup_errors=True) as own:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, "TMPDIR": own},
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    if "All tests passed" in said:
        return 0, ""
    passed = _PASSED.search(said)
    if passed is None:
        return len(tests), said[-4_000:]
    failed = [all_ids[int(number) - 1] for number in _FAILED.findall(said)]
    return len(tests) - int(passed[1]), " ".join(sorted(failed))


def main() -> int:
    """Run all tests: the words after `--` go to the runner."""
    folder = laid(ROOT / "build" / "cwl-suite")
    tests = names(folder)
    failed, said = run(folder, tests, runner=sys.argv[1:] or ("--local",), jobs=os.cpu_count() or 2)
    print(f"{len(tests) - failed} of {len(tests)} tests pass; not run: {', '.join(EXCEPT)}")
    print(said)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
