#!/usr/bin/env python3
"""Index the words of a text by line, and leave empty files beside it."""

import os
import sys

name = sys.argv[1]
words: dict[str, list[int]] = {}
with open(name) as file:
    for number, line in enumerate(file, 1):
        for mark in ".,;":
            line = line.replace(mark, "")
        for word in line.replace("-", " ").lower().split():
            words.setdefault(word, []).append(number)
with open(name + ".idx1", "w") as file:
    for word in sorted(words):
        numbers = ", ".join(str(one) for one in sorted(set(words[word])))
        file.write(f"{word}: {numbers}\n")
stem = os.path.splitext(name)[0]
for path in (
    stem + ".idx2",
    name + ".idx3",
    name + ".idx4",
    name + ".idx5",
    stem + ".idx6" + os.path.splitext(name)[1],
    name + ".idx7",
):
    open(path, "w").close()
os.mkdir(name + "_idx8")
open(os.path.join(name + "_idx8", "index"), "w").close()
