"""Write a long list of names, and the names joined to one long text."""

import json

names = [f"example_input_file{number}.txt" for number in range(1, 10000)]
with open("cwl.output.json", "w") as file:
    json.dump({"filelist": names, "bigstring": "\n".join(names)}, file)
