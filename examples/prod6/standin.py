"""Stand-in for the programs of a CTAO production: small text files go the way of the real ones.

    standin.py simulate PARTICLE RUN
    standin.py process LEVEL FILE…
    standin.py merge TASK FILE…
    standin.py train MODEL FILE…
    standin.py apply FILE…           models among the files
    standin.py irf FILE…

A file holds the names of the simulated files that it was made of, so that the last one tells
whether each was used once. Needs the standard library alone.
"""

import json
import sys
from collections import Counter
from pathlib import Path

MOONS = {"dark": 1, "half": 5}  # and the brightness of the night sky that goes with it
SPLITS = {"gamma-diffuse": ("train_en", "train_cl", "test"), "proton": ("train_cl", "test")}
META = ".meta.json"  # beside an output: what pilotage shall know of it
MODEL = ".pkl"


def simulate(particle: str, run: str) -> None:
    """Write a file for each brightness, and the histograms of both."""
    number = int(run)
    for which, (moon, nsb) in enumerate(MOONS.items()):
        splits = SPLITS.get(particle, ("test",))
        split = splits[(len(MOONS) * (number - 1) + which) % len(splits)]
        name = f"{particle}_run{number:06d}_{moon}.simtel.zst"
        write(name, [name])
        said = {"runNumber": number, "nsb": nsb, "split": split}
        Path(name + META).write_text(json.dumps(said))
    Path(f"{particle}_run{number:06d}.log_hist.tar").write_text("showers: 1000\n")


def process(level: str, files: list[str]) -> None:
    """Write one output for each file."""
    for file in files:
        name = Path(file).name.split(".")[0]
        write(f"{name}.{level}.h5", read(file))


def merge(task: str, files: list[str]) -> None:
    """Write one file of all, after a look whether something is there twice."""
    write(f"merged_{int(task):06d}.DL2.h5", together(files))


def train(model: str, files: list[str]) -> None:
    write(model + MODEL, together(files))


def apply(files: list[str]) -> None:
    """Write the events of each file that is no model, with the models' names behind them."""
    models = [file for file in files if file.endswith(MODEL)]
    if not models:
        sys.exit("no model is among the files")
    for file in files:
        if file not in models:
            write(f"applied_{Path(file).name}", read(file))


def irf(files: list[str]) -> None:
    events = together(files)
    Path("irf.json").write_text(json.dumps({"files": len(events)}) + "\n")
    write("irf.fits.gz", events)


def read(file: str) -> list[str]:
    return Path(file).read_text().split()


def write(name: str, events: list[str]) -> None:
    Path(name).write_text("\n".join(events) + "\n")


def together(files: list[str]) -> list[str]:
    """Return what is in all files; it must be there once."""
    events = sorted(event for file in files for event in read(file))
    twice = [event for event, count in Counter(events).items() if count > 1]
    if twice:
        sys.exit(f"{twice[0]} is there twice")
    return events


def main(words: list[str]) -> None:
    match words:
        case ["simulate", particle, run]:
            simulate(particle, run)
        case ["process", level, *files] if files:
            process(level, files)
        case ["merge", task, *files] if files:
            merge(task, files)
        case ["train", model, *files] if files:
            train(model, files)
        case ["apply", *files] if files:
            apply(files)
        case ["irf", *files] if files:
            irf(files)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
