"""Asks the real CTADIRAC what it makes of workflow files: queries, metadata and job steps.

It runs in an environment of its own, without DIRAC, whose packages need compilers and a server.
The names of DIRAC that CTADIRAC imports are replaced by recorders.

Usage: python facts.py FOLDER [FILE…]. Without files, it takes the 54 files of the package, and
those that its generators write into FOLDER. It prints one JSON object: facts of each step, or the
reason of a refusal, by file.
"""

import contextlib
import copy
import importlib
import importlib.util
import io
import json
import os
import runpy
import shlex
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, ClassVar, cast

#: the metadata query that every dataset has
DATASET: dict[str, Any] = {
    "MCCampaign": "PROD6",
    "site": "Paranal",
    "array_layout": "Prod6-Hyperarray",
    "particle": "gamma",
    "phiP": {"=": 180.0},
    "thetaP": {"=": 20.0},
    "nsb": {"=": 1},
    "split": "test",
    "tel_sim_prog": "sim_telarray",
    "tel_sim_prog_version": "2022-08-03",
    "data_level": {"=": -1},
    "merged": {"=": 2},
    "outputType": "Data",
    "configuration_id": {"=": 15},
    "sct": "False",
}
TEMPLATE = {
    "MCCampaign": "PROD6",
    "site": "LaPalma",
    "input_array_layout": "Prod6-Hyperarray",
    "processing_array_layout": "Alpha",
    "zenith": 60.0,
    "analysis_prog_version": "v0.23.0",
    "analysis_prog_compiler": "gcc114_default",
    "analysis_config_version": "v1",
    "configuration_id": 16,
    "moon": "dark",
    "pointing": "North",
}
KEPT = ("setTag", "setExecutionEnv", "setCPUTime", "setDestination")
GENERATORS = ("cta_prod_create_workflow_config", "cta_prod_create_workflow_evndisp_config")


class Exited(Exception):
    """CTADIRAC ended the program."""


class Anything:
    """Stands for every name of DIRAC that has no meaning here."""

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __call__(self, *args: Any, **_named: object) -> Any:
        return args[0] if len(args) == 1 and callable(args[0]) else self

    def __getattr__(self, name: str) -> "Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()


class Workflow:
    def toXML(self) -> str:
        return ""


class Job:
    """Records what CTADIRAC asks for."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {"steps": []}
        self.workflow = Workflow()

    def setExecutable(self, program: str, arguments: str = "", **_named: object) -> Any:
        words = shlex.split(arguments)
        if program == "cta-prod-managedata":
            self.facts.setdefault("patterns", []).append(words[3])
        elif program != "dirac_simtel_check":
            self.facts["steps"].append([program, *words])
        return {"OK": True, "Value": {}}

    def setNumberOfProcessors(self, minNumberOfProcessors: int) -> None:
        self.facts["cores"] = minNumberOfProcessors

    def __getattr__(self, name: str) -> Callable[[Any], None]:
        if not name.startswith("set"):
            raise AttributeError(name)
        return lambda value: self.facts.__setitem__(name[3:], value) if name in KEPT else None


class ProductionStep:
    def __init__(self) -> None:
        self.GroupSize = 1
        self.ParentStep = None


def stop(_code: int) -> None:
    raise Exited


class Finder:
    """Finds modules of DIRAC."""

    named: ClassVar[dict[str, dict[str, Any]]] = {
        "DIRAC.Interfaces.API.Job": {"Job": Job},
        "DIRAC.ProductionSystem.Client.ProductionStep": {"ProductionStep": ProductionStep},
        "DIRAC": {"exit": stop},
        "DIRAC.Core.Base.Script": {"Script": None},
    }

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        if name.split(".")[0] != "DIRAC":
            return None
        return importlib.util.spec_from_loader(name, cast(Any, self), is_package=True)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        vars(module)["__getattr__"] = lambda _name: Anything()
        vars(module).update(self.named.get(spec.name, {}))
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class Script(Anything):
    """The frame of DIRAC's commands; it passes on the arguments."""

    @staticmethod
    def parseCommandLine(*_args: object, **_named: object) -> None:
        pass

    @staticmethod
    def getPositionalArgs() -> list[str]:
        return sys.argv[1:]


def facts_of(path: Path) -> dict[str, Any] | str:
    """Return the facts of each step of a file, by ID; a text if CTADIRAC refuses it."""
    client = "CTADIRAC.ProductionSystem.Client"
    yaml: Any = importlib.import_module("ruamel.yaml")
    elements: Any = importlib.import_module(f"{client}.WorkflowElement")
    utilities: Any = importlib.import_module(f"{client}.Utilities.production_utils")
    elements.get_dataset_MQ = lambda _name: copy.deepcopy(DATASET)
    given = yaml.YAML(typ="safe", pure=True).load(path)
    found: dict[str, Any] = {}
    built: list[Any] = []
    try:
        utilities.check_and_sort_workflow_config(given)
        for step in given["ProdSteps"]:
            parent = utilities.find_parent_prod_step(built, step)
            element = utilities.instantiate_workflow_element_from_type(step, parent)
            element.build_input_data(step)
            element.build_job_attributes(given, step)
            element.build_job_output_data(step)
            element.build_element_config(step)
            element.build_output_data()
            built.append(element)
            # later steps change the queries of earlier ones: CTADIRAC sends them one by one
            found[str(step["ID"])] = copy.deepcopy(
                {
                    "type": element.we_type,
                    "query": element.prod_step.Inputquery,
                    "output": element.prod_step.Outputquery,
                    "group": element.prod_step.GroupSize,
                    **element.job.facts,
                }
            )
    except (Exited, KeyError, AttributeError, NameError, TypeError, ValueError) as why:
        return f"{type(why).__name__}: {why}"
    return found


def generated(folder: Path) -> None:
    """Let the generators write their files into a folder."""
    yaml: Any = importlib.import_module("ruamel.yaml")
    template = folder / "template.yaml"
    with template.open("w") as file:
        yaml.YAML().dump(TEMPLATE, file)
    before = Path.cwd()
    os.chdir(folder)
    sys.argv = ["generator", str(template)]
    for name in GENERATORS:
        runpy.run_module(f"CTADIRAC.ProductionSystem.scripts.{name}", run_name="__main__")
    os.chdir(before)
    template.unlink()


def main() -> None:
    Finder.named["DIRAC.Core.Base.Script"]["Script"] = Script()
    sys.meta_path.insert(0, Finder())
    kept = Path(sys.argv[1])
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        if len(sys.argv) > 2:
            files = {path: Path(path) for path in sys.argv[2:]}
        else:
            package = Path(str(importlib.import_module("CTADIRAC").__file__)).parent
            shipped = package / "ProductionSystem" / "config"
            made = kept / "generated"
            made.mkdir(parents=True, exist_ok=True)
            generated(made)
            files = {
                str(path): path for top in (shipped, made) for path in sorted(top.rglob("*.yml"))
            }
        found = {}
        for name, path in files.items():
            os.chdir(path.absolute().parent)
            found[name] = facts_of(path.absolute())
    print(json.dumps({"dataset": DATASET, "files": found}))


if __name__ == "__main__":
    main()
