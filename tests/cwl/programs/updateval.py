"""Add 1 to the number in a file."""

import sys

with open(sys.argv[1], "r+") as file:
    number = int(file.read())
    file.seek(0)
    file.write(str(number + 1))
    file.truncate()
