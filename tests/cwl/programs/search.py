#!/usr/bin/env python3
"""Print the lines of a text that its index gives for a word."""

import sys

name, word = sys.argv[1:3]
with open(name + ".idx1") as file:
    index = dict(line.rstrip("\n").split(": ", 1) for line in file)
with open(name) as file:
    lines = file.read().split("\n")
for number in index.get(word.lower(), "").split(", "):
    if number:
        print(number, lines[int(number) - 1])
