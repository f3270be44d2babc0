"""CTADIRAC's form: its examples, its nine types, its words; what it lets pass is refused."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

from pilotage.central.workflows import graph
from pilotage.central.workflows.cta_types import element_types
from pilotage.central.workflows.errors import BadWorkflow
from pilotage.central.workflows.flow import WorkflowFile
from pilotage.central.workflows.plan import plan
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.documents.workflow import Workflow

from .written_here import made, run_here

NINE = {
    "MCSimulation", "SimPipe", "SimTelProcessing", "CtapipeProcessing", "EvnDispProcessing",
    "Merging", "CtapipeTrainEnergy", "CtapipeTrainClassifier", "CtapipeApplyModels",
}  # fmt: skip

CHAIN = """
    Common:
      MCCampaign: DemoCampaign
      configuration_id: 42
      base_path: /ctao/demo
    ProdSteps:
      - ID: 1
        name: shower_sim
        input_meta_query: {parentID: null, dataset: null}
        job_config:
          type: MCSimulation
          version: 2024-02-05
          array_layout: Hyper
          layout: hyper-layout
          site: LaPalma
          particle: proton
          pointing_dir: South
          zenith_angle: 40
          n_shower: 100
          start_run_number: 0
          moon: dark, half
          div_ang: 0.0121, 0.046
          sct: all
          magic: False
          only_corsika: False
          sequential: True
          random_mono_probability: 0.01
          instrument_random_seeds: True
          destination: CTAO.PIC.es
          cpu_time: 259200
          tag: production
          nb_processors: 4
          catalogs: DIRACFileCatalog
      - ID: 2
        input_meta_query: {parentID: 1, moon: dark, sct: "True"}
        job_config: {type: CtapipeProcessing, version: v0.19.3, array_layout: Alpha,
                     data_level: 2, output_extension: DL2.h5, group_size: 5,
                     options: "-c dl0_to_dl2.yml"}
      - ID: 3
        input_meta_query: {parentID: 2}
        job_config: {type: Merging, version: v0.19.3, group_size: 25,
                     output_extension: merged.DL2.h5, options: "--no-dl1-images"}
"""

DATA = """
    Common: {MCCampaign: DemoCampaign, configuration_id: 42, base_path: /ctao/demo}
    ProdSteps:
      - ID: 1
        input_meta_query: {dataset: DEMO_CORSIKA_proton_North_20deg}
        job_config: {type: SimTelProcessing, version: 2024-02-05, moon: dark, sct: null,
                     div_ang: null, random_mono_probability: 0.01, instrument_random_seeds: False,
                     systematic_uncertainty_to_test: sys/mirror/low, input_limit: 10}
      - ID: 2
        input_meta_query: {dataset: DEMO_R1, pointing_dir: North, zenith_angle: 20, moon: dark}
        job_config: {type: EvnDispProcessing, version: v06, group_size: 10, options: "--x"}
      - ID: 3
        input_meta_query: {parentID: null, MCCampaign: DemoCampaign, site: LaPalma,
                           particle: gamma-diffuse, array_layout: Alpha, thetaP: 20.0,
                           phiP: 180.0, data_level: 2, merged: 3, split: train_en,
                           outputType: Data, analysis_prog: ctapipe-merge}
        job_config: {type: CtapipeTrainEnergy, version: v0.19.3, group_size: 1,
                     options: "-c train_energy.yml"}
      - ID: 4
        input_meta_query: {dataset: DEMO_DL2_train_cl}
        job_config: {type: CtapipeTrainClassifier, version: v0.19.3, group_size: 2,
                     options: "-c train_cl.yml"}
      - ID: 5
        input_meta_query: {dataset: DEMO_DL2_test}
        job_config: {type: CtapipeApplyModels, version: v0.19.3, split: test,
                     options: "energy_model.pkl classifier_model.pkl"}
      - ID: 6
        input_meta_query: {}
        job_config: {type: SimPipe, version: v1, simpipe_config: simpipe.yml,
                     run_number_offset: 0, input_sandbox: "simpipe.yml"}
"""


SIMPIPE = "{grid_output_path: made, site: North, array_layout_name: A, model_version: 6.1.0,\n\
azimuth_angle: 10, nshow: 5}"


def read(folder: Path, text: str, *types: Path) -> Workflow:
    (folder / "simpipe.yml").write_text(SIMPIPE)
    file = folder / "demo.yml"
    file.write_text(dedent(text))
    return read_workflow(file, types=types).workflow


def fault(folder: Path, text: str, *types: Path) -> str:
    with pytest.raises(BadWorkflow) as caught:
        read(folder, text, *types)
    return str(caught.value).replace(f"{folder}/", "")


def test_there_are_nine_types() -> None:
    assert set(element_types().types) == NINE


def test_a_chain_with_a_simulation(tmp_path: Path) -> None:
    found = read(tmp_path, CHAIN)
    simulation, ctapipe, merging = found.steps.values()

    assert list(found.steps) == ["shower_sim", "Step2_CtapipeProcessing", "Step3_Merging"]
    assert graph.order(found) == list(found.steps)
    assert graph.parents(found, "Step3_Merging") == ("Step2_CtapipeProcessing",)
    assert found.metadata == {"MCCampaign": "DemoCampaign", "configuration_id": 42}
    assert (simulation.metadata["phiP"], simulation.metadata["thetaP"]) == (0, 40)
    assert simulation.outputs["data"].sets["nsb"] == (1, 5)
    assert simulation.outputs["data"].name == "ctao/demo/{job}/{file}"
    assert simulation.outputs["data"].files == 4
    assert simulation.job.type == "MCSimulation"
    (need,) = simulation.job.needs
    assert (need.cores_min, need.sites, need.tags) == (4, ("CTAO.PIC.es",), "production")
    assert need.wall_s == 259_200
    assert "--instrument-random-seeds" in simulation.job.command
    assert "--with-magic" not in simulation.job.command
    assert ctapipe.inputs["files"].where == {"nsb": 1, "sct": "True"}
    assert ctapipe.grouping is not None and ctapipe.grouping.size == 5
    assert ctapipe.outputs["data"].pattern == "Data/*.h5"
    assert ctapipe.job.command[-4:] == ("--out_ext", "DL2.h5", "-c", "dl0_to_dl2.yml")
    assert (ctapipe.outputs["data"].metadata["merged"], merging.metadata["merged"]) == (0, 1)
    assert merging.grouping is not None and merging.grouping.size == 25


def test_steps_that_are_driven_by_data(tmp_path: Path) -> None:
    found = read(tmp_path, DATA)
    simtel, evndisp, energy, classifier, models, simpipe = found.steps.values()

    assert all(not graph.parents(found, name) for name in found.steps)
    assert simtel.inputs["files"].dataset == "ctao:DEMO_CORSIKA_proton_North_20deg"
    assert simtel.inputs["files"].files_max == 10
    assert simtel.metadata["systematics"] == "mirror_low"
    assert evndisp.inputs["files"].where == {"phiP": 180, "thetaP": 20, "nsb": 1}
    assert energy.inputs["files"].query["merged"] == 3
    assert energy.job.needs[0].cores_min == 8
    assert classifier.grouping is not None and classifier.grouping.size == 2
    assert models.job.command[-2:] == ("energy_model.pkl", "classifier_model.pkl")
    assert set(models.inputs) == {"files", "energy_model", "classifier_model"}
    assert models.inputs["energy_model"].use == "shared"
    agreed = {"array_layout", "site", "phiP", "thetaP", "sct", "nsb"}
    assert set(models.inputs["energy_model"].on) == agreed
    assert [Path(one).name for one in simpipe.files] == ["cta_job.sh", "simpipe.yml"]
    assert simpipe.inputs == {}
    assert str(plan(found).steps[0].tasks) == "?"


# what is written instead of what, and what is said of it
WRONG = {
    "a type": (
        "type: CtapipeProcessing", "type: CtapipeProcesing",
        "demo.yml:36: ProdSteps[1].job_config.type: unknown type 'CtapipeProcesing': did you"
        " mean 'CtapipeProcessing'?",
    ),
    "a key": (
        "group_size: 5", "groupsize: 5",
        "demo.yml:37: step Step2_CtapipeProcessing: unknown key 'groupsize': did you mean",
    ),
    "a word": (
        "particle: proton", "particle: protn",
        "demo.yml:16: step shower_sim: job_config.particle: unknown value 'protn': did you mean"
        " 'proton'?",
    ),
    "a number": ("zenith_angle: 40", "zenith_angle: high", "expected a number, found 'high'"),
    "a parent": ("parentID: 2", "parentID: 3", "expected the ID of a step before this one (1, 2),"),
    "words of a list": (
        "moon: dark, half", "moon: half, dark", "job_config.moon: unknown value 'half, dark'"
    ),
    "a key of Common": ("base_path:", "basepath:", "demo.yml:5: unknown key 'basepath': did"),
    "a parent and a dataset": (
        "parentID: 2", "parentID: 2, dataset: X", "either a parentID or a dataset, not both"
    ),
    "no query": ("parentID: 2", "", "is empty: give a parentID, a dataset or metadata"),
    "what is mandatory": ("version: 2024-02-05", "", "the key `version` is missing"),
    "of all": ("MCCampaign: DemoCampaign", "", "Common: the key `MCCampaign` is missing"),
    "what the parent has not": (
        "moon: dark, s", "moon: full, s",
        "demo.yml:35: step Step2_CtapipeProcessing: inputs.files.where.nsb: no file of",
    ),
    "a word of the query": (
        "moon: dark, s", "mon: dark, s", "unknown key 'mon': did you mean 'moon'?"
    ),
    "an ID twice": ("ID: 3", "ID: 2", "there are two steps with the ID 2"),
    "input of a simulation": (
        "{parentID: null, dataset: null}", "{dataset: X}", "this type takes no files"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str, tmp_path: Path) -> None:
    right, wrong, said = WRONG[name]
    assert right in CHAIN

    assert said in fault(tmp_path, CHAIN.replace(right, wrong))


TYPES = """
    generic: {colour: {metadata: colour}}
    keys: {colour: string}
    types:
      MCSimulation:
        simulates: true
        keys: {runs: {kind: integer, fills: tasks}}
        command: [sh, -c, "echo {task} > {task}.simtel"]
        outputs: {data: {pattern: "*.simtel"}}
      Painting:
        title: ours
        adds: {coats: 1}
        command: [sh, -c, 'cat "$@" > painted', sh, "{files}"]
        outputs: {data: {pattern: painted}}
"""
OURS = """
    Common: {MCCampaign: A, configuration_id: 1}
    ProdSteps:
      - {ID: 1, name: sim, job_config: {type: MCSimulation, runs: 3, colour: red}}
      - {ID: 2, name: paint, input_meta_query: {parentID: 1, colour: red},
         job_config: {type: Painting, group_size: 2}}
      - {ID: 3, name: again, input_meta_query: {parentID: 2}, job_config: {type: painting}}
"""


def test_a_community_brings_types_of_its_own_and_runs_them_here(tmp_path: Path) -> None:
    types = tmp_path / "types"
    types.mkdir()
    (types / "ours.yaml").write_text(dedent(TYPES))

    with pytest.raises(BadWorkflow, match="found 0, expected at least 1"):
        read(tmp_path, OURS.replace("runs: 3", "runs: 0"), types)
    found = read(tmp_path, OURS, types)
    outcome = run_here(found, tmp_path)

    assert found.steps["again"].metadata["coats"] == 2
    assert outcome.complete, outcome.failures
    assert len(made(outcome, "paint", "data")) == 2
    text = "".join((tmp_path / "run" / p).read_text() for p in made(outcome, "again", "data"))
    assert sorted(text.split()) == ["1", "2", "3"]
    assert "step sim: unknown key 'runs'" in fault(tmp_path, OURS)


APPLY = """
    Common: {MCCampaign: DemoCampaign, configuration_id: 42, base_path: /ctao/demo}
    ProdSteps:
      - ID: 1
        input_meta_query: {dataset: EVENTS}
        job_config: {type: CtapipeApplyModels, version: v1, group_size: 2,
                     options: "--reconstructor energy_model.pkl"}
"""
PLACE = {"array_layout": "Alpha", "site": "LaPalma", "phiP": 180, "thetaP": 20, "sct": "False"}


def test_the_model_that_fits_the_files_comes_to_the_job(tmp_path: Path) -> None:
    programs = tmp_path / "software" / "gcc48_default" / "stage1" / "ctapipe" / "v1"
    programs.mkdir(parents=True)
    program = programs / "dirac_ctapipe-apply-models_wrapper"
    program.write_text("#!/bin/sh\nmkdir Data; cat $2 *.DL2.h5 > Data/run7___cta.h5\n")
    program.chmod(0o755)
    model = {
        **PLACE,
        "MCCampaign": "DemoCampaign",
        "configuration_id": 42,
        "outputType": "Model",
        "data_level": 2,
        "analysis_prog": "ctapipe-train-energy-regressor",
        "analysis_prog_version": "v1",
        "nsb": 1,
    }
    events = {**PLACE, "dataset": "ctao:EVENTS", "nsb": 1, "particle": "gamma", "split": "test"}
    catalogue = [
        catalogued(tmp_path, "a/energy_model.pkl", "other site, ", {**model, "site": "Paranal"}),
        catalogued(tmp_path, "b/energy_model.pkl", "model, ", model),
        catalogued(tmp_path, "1.DL2.h5", "one, ", events),
        catalogued(tmp_path, "2.DL2.h5", "two", events),
    ]
    found = read(tmp_path, APPLY)
    (step,) = found.steps.values()
    job = msgspec.structs.replace(
        step.job, environment={"PILOTAGE_SOFTWARE": str(tmp_path / "software")}
    )
    step = msgspec.structs.replace(step, job=job)
    outcome = run_here(msgspec.structs.replace(found, steps={"apply": step}), tmp_path, catalogue)

    assert outcome.complete, outcome.failures
    (path,) = made(outcome, "apply", "data")
    assert (tmp_path / "run" / path).read_text() == "model, one, two"
    (file,) = outcome.record.files
    wanted = {"particle": "gamma", "split": "test", "nsb": 1, "runNumber": 7, **PLACE}
    assert {key: file.metadata.get(key) for key in wanted} == wanted


def catalogued(folder: Path, name: str, text: str, metadata: dict[str, Any]) -> WorkflowFile:
    path = folder / "there" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return WorkflowFile(path.name, str(path), len(text), metadata)


def test_what_is_wrong_with_types_is_told_with_its_line(tmp_path: Path) -> None:
    types = tmp_path / "types.yaml"
    types.write_text(dedent(TYPES).replace("adds", "ads"))

    assert "types.yaml:12: ads: there is no field 'ads'" in fault(tmp_path, OURS, types)
