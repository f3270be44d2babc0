"""Print class and basename of a JSON file."""

import json
import sys

with open(sys.argv[1]) as file:
    found = json.load(file)
sys.stdout.write(json.dumps({key: found[key] for key in ("class", "basename")}, sort_keys=True))
