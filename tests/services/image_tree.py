"""Trees and archives of a very small image, and an Apptainer that runs them by bubblewrap."""

import json
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

APPLETS = "cat chmod echo env head id kill ls mkdir mv ps pwd rm setsid sh sleep test touch tr true"
MARK = "inside of the image"


@dataclass(frozen=True)
class SmallImage:
    """One image in its three forms. The .sif is a file that names the tree."""

    tree: Path
    archive: Path
    sif: Path


def small_image(folder: Path) -> SmallImage:
    """Make an image out of busybox."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "there is no busybox: deploy/debian-packages test installs it"
    tree = folder / "tree"
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "var/tmp", ".singularity.d/env"):
        (tree / name).mkdir(parents=True)
    shutil.copy(busybox, tree / "bin" / "busybox")
    for applet in APPLETS.split():
        (tree / "bin" / applet).symlink_to("busybox")
    (tree / "lib").symlink_to("bin")
    (tree / "etc" / "mark").write_text(MARK + "\n")
    (tree / ".singularity.d" / "env" / "90-environment.sh").write_text("export OF_IMAGE=yes\n")
    archive, sif = folder / "image.tar", folder / "image.sif"
    subprocess.run(["tar", "-C", str(tree), "-cf", str(archive), "."], check=True)
    sif.write_text(str(tree))
    return SmallImage(tree, archive, sif)


def fake_apptainer(folder: Path, pulls: SmallImage | None = None) -> Path:
    """Make a command that takes what `apptainer exec` takes, writes it down, and does it.

    `pulls` is what `apptainer pull` brings, whatever it is asked for.

    Refused is what Apptainer would refuse. It enters the tree by bubblewrap, with a process that
    is the first in the PID namespace as Apptainer has one.
    """
    program = folder / "apptainer"
    text = _APPTAINER.replace("RECORD", str(folder / "calls"))
    text = text.replace("PULLED", str(pulls.tree) if pulls is not None else "")
    program.write_text("#!/usr/bin/python3 -IS\n" + dedent(text))
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program


def calls(folder: Path) -> list[list[str]]:
    """Return the command lines that a fake Apptainer was called with."""
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


_APPTAINER = r"""
    import json, os, sys

    with open("RECORD", "a") as calls:
        calls.write(json.dumps(sys.argv[1:]) + "\n")
    words = sys.argv[1:]
    if words[0] == "pull":
        *options, file, name = words[1:]
        assert options == ["--disable-cache", "--no-https"], options
        assert name.startswith("docker://") and "@sha256:" in name, name
        with open(file, "w") as sif:
            sif.write("PULLED")
        sys.exit(0)
    assert words[:2] == ["--silent", "exec"], words
    words, said, binds = words[2:], {}, []
    while words[0].startswith("-"):
        option = words.pop(0)
        if option == "--bind":
            binds.append(words.pop(0))
        elif option in ("--workdir", "--home", "--pwd"):
            said[option] = words.pop(0)
        elif option not in ("--containall", "--cleanenv", "--nv", "--rocm"):
            sys.exit(f"FATAL: unknown flag: {option}")
    image, command = words[0], words[1:]
    tree = open(image).read() if image.endswith(".sif") else image
    if not os.path.exists(tree + "/bin/sh"):
        sys.exit(f"FATAL: could not open image {image}: image format not recognized")
    inner = ["bwrap", "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--ro-bind", tree, "/"]
    inner += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    parents = {"/".join(path.split("/")[:2]) for path in (said["--home"], *binds)} - {"/tmp"}
    for parent in sorted(parents):
        if os.path.exists(tree + parent):
            inner += ["--tmpfs", parent]
    for bind in (said["--home"], *binds):
        source, target, mode = [*bind.split(":"), *[bind, "rw"][bind.count(":") :]][:3]
        inner += ["--ro-bind" if mode == "ro" else "--bind", source, target]
    inner += ["--chdir", said["--pwd"], "--setenv", "HOME", said["--home"]]
    environment = {"PATH": "/bin", "OF_IMAGE": "yes"}
    for name, value in os.environ.items():
        if name.startswith("APPTAINERENV_"):
            environment[name[len("APPTAINERENV_"):]] = value
    first = environment.pop("PREPEND_PATH", "")
    environment["PATH"] = ":".join(one for one in (first, environment["PATH"]) if one)
    for name in os.environ:
        inner += ["--unsetenv", name]
    for name, value in environment.items():
        inner += ["--setenv", name, value]
    os.execvp("bwrap", [*inner, "--", *command])
"""
