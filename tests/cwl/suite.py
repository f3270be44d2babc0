"""The conformance tests of CWL v1.2, with programs of our own in place of those of the suite.

`make cwl` runs all of them. The documents are those of the suite (Apache-2.0). It lies beside the
checkout as `../shared/data/cwl-v1.2`, or in the folder that `CWL_SUITE` names.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from tests.tidy.tree import ROOT

PROGRAMS: Final = Path(__file__).parent / "programs"
# Tests that nothing here can pass: the first needs the start program of an image, the second the
# internet.
EXCEPT: Final = ("docker_entrypoint", "networkaccess")
_FAILED: Final = re.compile(r"^Test (\d+) failed: (.*)$", re.MULTILINE)


def documents() -> Path:
    """Return the folder of the suite."""
    return Path(os.environ.get("CWL_SUITE") or ROOT.parent / "shared" / "data" / "cwl-v1.2")


def laid(folder: Path) -> Path:
    """Copy the suite and our programs to a folder, and return it."""
    shutil.copytree(documents(), folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    shutil.copytree(PROGRAMS, folder / "tests", dirs_exist_ok=True)
    return folder


def names(folder: Path) -> list[str]:
    """Return the names of the tests that can pass here."""
    tests = yaml.safe_load((folder / "conformance_tests.yaml").read_text())
    return [one["id"] for one in tests if one["id"] not in EXCEPT]


def run(
    folder: Path, tests: Sequence[str], *, runner: Sequence[str] = ("--local",), jobs: int = 2
) -> tuple[int, str]:
    """Run some tests; return how many failed, and what was said about those."""
    here = Path(sys.executable).parent
    words = [
        *(str(here / "cwltest"), "--test", "conformance_tests.yaml", "-s", ",".join(tests)),
        *("--tool", str(here / "pilotage-cwl-runner"), "-j", str(jobs), "--timeout", "300"),
        *("--", *runner),
    ]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    found = _FAILED.findall(said)
    if not found and done.returncode:
        return len(tests), said[-4_000:]
    return len(found), "\n".join(f"{number}: {words}" for number, words in found)


def main() -> int:
    """Run all tests: the words after `--` go to the runner."""
    folder = laid(ROOT / "build" / "cwl-suite")
    tests = names(folder)
    failed, said = run(folder, tests, runner=sys.argv[1:] or ("--local",), jobs=os.cpu_count() or 2)
    print(f"{len(tests) - failed} of {len(tests)} tests pass")
    print(said)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
