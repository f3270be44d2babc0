"""Builds the productions, and the runs of CWL documents."""

from dataclasses import dataclass

from pilotage import __version__
from pilotage.proto.api.jdl import JdlRules
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.problems import Code

from ..accounts.holdings import Holdings
from ..catalogue.input_resolution import outputs_to
from ..catalogue.storages import Storages
from ..cwl.messages import Broken, Shape, Shaped, Unfit
from ..cwl_runs.evaluator_link import Evaluates, EvaluatorEnded, EvaluatorLink
from ..cwl_runs.runs import CwlRuns
from ..cwl_runs.task_maker import RunTaskMaker
from ..dispatch.assembly import SharedLimits
from ..dispatch.control import JobControl
from ..dispatch.explainer import Explainer
from ..dispatch.memory import Memory
from ..dispatch.submissions.submissions import Submissions
from ..errors import Refused
from ..failover.production_rules import rules_for
from ..failover.task_ends import last_line_in
from ..identity.bans.ban_list import BanList
from ..identity.callers import User
from ..productions.assembly import Productions, productions
from ..productions.cwl_steps import CwlShape
from ..productions.service import ShapeOf
from ..settings import Settings
from ..transformations.assembly import Transformations
from ..transformations.live_state import document
from ..transformations.record import TransformationRow
from ..transformations.reuse.known_results import KnownResults
from ..workflows.jdl.needs import PLATFORMS, platform_of
from .process_parts import World

NO_TOOL = "expressions"  # the only step of a document without tools


@dataclass(frozen=True)
class ProductionWork:
    """Productions, and the runs of those that are CWL documents."""

    productions: Productions
    cwl: CwlRuns


def production_work(
    world: World,
    memory: Memory,
    made: Transformations,
    control: JobControl,
    explainer: Explainer,
    submissions: Submissions,
    allowed: SharedLimits,
    bans: BanList,
    settings: Settings,
) -> ProductionWork:
    """Return the productions of a central."""

    def unfit(row: TransformationRow) -> str:
        owner = memory.owners.by_id(row.owner_id)
        return explainer.unfit(row.community, row.group, owner, document(row).job)

    evaluator = world.evaluator or EvaluatorLink(world.log)
    runs = CwlRuns(
        store=world.store,
        blobs=world.blobs,
        evaluator=evaluator,
        making=RunTaskMaker(
            store=world.store,
            submissions=submissions,
            classes=memory.classes,
            owners=memory.owners,
            storages=world.storages,
            quotas=allowed.quotas,
            room=allowed.room,
            bans=bans,
            clock=world.clock,
        ),
        touch=made.engine.touch,
        known=known_results(world),
        images=settings.cwl.images,
        rules=settings.jdl,
        clock=world.clock,
        log=world.log,
    )
    found = productions(
        store=world.store,
        made=made,
        owners=memory.owners,
        act=control.act,
        check_rules=rules_for,
        shape_of=shapes_by(evaluator, allowed.holdings, world.storages, settings.jdl),
        storages=world.storages,
        rucio=world.rucio.entries,
        last_line=last_line_in(world.blobs, world.log),
        unfit=unfit,
        told=runs.nudge,
        version=__version__,
        clock=world.clock,
        log=world.log,
    )
    return ProductionWork(found, runs)


def known_results(world: World) -> KnownResults:
    """Return what finds results that tasks may reuse."""
    return KnownResults(store=world.store, catalogue=world.store, blobs=world.blobs)


def shapes_by(
    evaluator: Evaluates, holdings: Holdings, storages: Storages, rules: JdlRules
) -> ShapeOf:
    """Return what reads the tools of a document. It raises Refused for a wrong document.

    The caller must have uploaded its files, because expressions read them. A hash alone must not
    give access to the content of another person.
    """

    async def check_uploaded(caller: User, given: CwlDocument) -> None:
        files = {one.sha256: path for path, one in given.files.items() if one.sha256}
        files[given.tool.sha256] = given.tool.name
        owner = (await holdings.holder(caller)).owner_id
        for one in await holdings.missing(owner, sorted(files), (*caller.groups, "")):
            why = f"cwl.files: {files[one]!r} was not uploaded: found no file {one} of yours"
            raise Refused(Code.INVALID, why, field="cwl.files")

    async def shape_of(caller: User, given: CwlDocument) -> CwlShape:
        await check_uploaded(caller, given)
        try:
            found = await evaluator.ask(Shape(document=given))
        except EvaluatorEnded as why:
            found = Broken(why=str(why))
        if isinstance(found, Unfit | Broken):
            raise Refused(Code.INVALID, f"cwl: {found.why}", field="cwl")
        assert isinstance(found, Shaped)
        for where, names in found.storages:
            outputs_to(storages.book, names, where)
        for where, name in found.platforms:
            if platform_of(name, rules) is None:
                right = unknown(name, (*rules.platforms, *PLATFORMS), what="platform")
                raise Refused(Code.INVALID, f"{where}: {right}", field=where)
        parents = {one.name: one.parents for one in found.steps}
        return CwlShape(found.name, found.title, parents or {NO_TOOL: ()})

    return shape_of
