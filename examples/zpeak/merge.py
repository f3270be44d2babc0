"""One table of many, in order; an event that is there twice is refused.

merge.py OUTPUT.csv INPUT.csv…
"""

import csv
import sys


def merge(output: str, inputs: list[str]) -> None:
    rows: list[list[str]] = []
    for path in inputs:
        with open(path, newline="") as file:
            rows += csv.reader(file)
    rows.sort(key=lambda row: (row[0], int(row[1])))
    for before, row in zip(rows, rows[1:], strict=False):
        if before[:2] == row[:2]:
            sys.exit(f"event {row[1]} of {row[0]} is there twice")
    with open(output, "w", newline="") as file:
        csv.writer(file).writerows(rows)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    merge(sys.argv[1], sys.argv[2:])
