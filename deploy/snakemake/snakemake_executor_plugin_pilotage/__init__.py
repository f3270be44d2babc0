"""Run the jobs of a Snakemake workflow on the pilots of a pilotage central.

Snakemake calls `run_jobs` and `cancel` in its main thread, and `check_active_jobs` in another one.
"""

import os
import shlex
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import (
    CommonSettings,
    ExecutorSettingsBase,
    SharedFSUsage,
)

from pilotage import Client, Job, JobFilter, JobState, LocalFile, errors

from .descriptions import WORD_BYTES_MAX, described
from .run_records import RunRecord

if TYPE_CHECKING:
    from pilotage.proto.api.jobs import JobView

ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.KILLED)
ACTIVE: Final = (JobState.WAITING, JobState.MATCHED, JobState.RUNNING, JobState.COMPLETING)
LOST: Final = "lost_too_often"  # begins the reason of a job that the central has given up
OUTAGE: Final = (
    errors.Unreachable,
    errors.Unavailable,
    errors.TooManyRequests,
    errors.StoreFull,
    errors.NotAuthenticated,  # until the user has logged in again
)
PATIENCE_S: Final = 3.0  # Snakemake itself asks again
SUBMIT_AGAIN_S: Final = 2.0
CHECK_SOONEST_S: Final = 0.2
IDS_A_READING: Final = 200  # the URL holds them
LOG_BYTES: Final = 65_536
LOG_S: Final = 5.0
KILL_S: Final = 30.0  # how long a killed job may take to end
HINT_AFTER_S: Final = 60.0  # without any change


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Options of the command line: `--pilotage-site` and so on.

    Snakemake does not understand `str | None`.
    """

    site: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={"help": "Run only at these sites, separated by commas (default: any site)."},
    )
    tags: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "Tags that the pilot must have: 'cvmfs & ~legacy'."}
    )
    image: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "Container image with Snakemake: a path on the nodes."}
    )
    software: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata={"help": "Folders on the nodes whose bin comes first on PATH, with commas."},
    )
    group: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "Group of the jobs (default: your default group)."}
    )


common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=True,  # only without a shared file system
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,  # others see the command, so secrets go beside it
    auto_deploy_default_storage_provider=False,  # nodes without internet could not install it
)


class Executor(RemoteExecutor):
    """Submits jobs to the central, and reports their ends to Snakemake."""

    def __post_init__(self) -> None:
        if self.workflow.remote_execution_settings.immediate_submit:
            raise WorkflowError("The executor pilotage does not support --immediate-submit.")
        if not self.is_default_jobscript:
            raise WorkflowError("The executor pilotage does not support --jobscript.")
        self._run_name = f"snakemake-{uuid.uuid4().hex[:12]}"  # of all submissions of this process
        self._active: set[int] = set()  # jobs whose end is not known yet
        self._held: set[int] = set()  # held jobs that the user knows about
        self._open: tuple[str, list[Job]] | None = None  # a submission without an answer
        self._is_waiting = False  # for the central
        self._changed_at = time.monotonic()  # the last submission or end
        self._hinted_at = 0.0  # the last hint that all jobs wait
        try:
            self._client = Client(patience_s=PATIENCE_S)
            user = self._client.whoami()
            self._record = RunRecord(Path(".snakemake", "pilotage_runs").absolute(), self._run_name)
            self._kill_earlier_runs()
        except (errors.ClientError, OSError) as why:
            raise WorkflowError(f"pilotage: {why}") from None
        self.logger.info(f"pilotage: {user.subject} at {self._client.url}, run {self._run_name}")

    # -- submission -----------------------------------------------------------------------------

    def run_jobs(self, jobs: Sequence[JobExecutorInterface]) -> None:
        """Submit all jobs of a scheduling step in one request."""
        for job in jobs:
            self.run_job_pre(job)
        new: list[JobExecutorInterface] = []
        descriptions: list[Job] = []
        for job in jobs:
            try:
                descriptions.append(self._described(job))
                new.append(job)
            except (ValueError, errors.ClientError) as why:
                self._refuse(job, why)
        if new:
            self._submit(new, descriptions)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job. Snakemake calls `run_jobs`."""
        self.run_jobs([job])

    def _submit(self, jobs: Sequence[JobExecutorInterface], descriptions: list[Job]) -> None:
        self._open = (uuid.uuid4().hex, descriptions)
        while True:
            try:
                ids = self._send_open()
                break
            except OUTAGE as why:
                self._tell_outage(why)
                time.sleep(SUBMIT_AGAIN_S)
            except errors.ClientError as why:
                self._open = None
                if isinstance(why, errors.Invalid) and len(jobs) > 1:
                    for job, one in zip(jobs, descriptions, strict=True):
                        self._submit([job], [one])  # the other jobs are fine
                else:
                    for job in jobs:
                        self._refuse(job, why)
                return
        self._tell_answer()
        for job, id in zip(jobs, ids, strict=True):
            self._register(job, id)

    def _send_open(self) -> list[int]:
        """Send the open submission. Its key makes a repetition harmless."""
        assert self._open is not None
        key, descriptions = self._open
        handle = self._client.submit(descriptions, key=key, name=self._run_name)
        ids = list(handle.ids())
        self._active.update(ids)
        self._open = None
        self.logger.info(f"Submitted {len(ids)} jobs: pilotage submission {handle.id}")
        return ids

    def _register(self, job: JobExecutorInterface, id: int) -> None:
        self._changed_at = time.monotonic()
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=str(id)))

    def _refuse(self, job: JobExecutorInterface, why: Exception) -> None:
        self.report_job_error(SubmittedJobInfo(job), msg=f"pilotage: {why}\n")

    def _described(self, job: JobExecutorInterface) -> Job:
        script, inputs = self.format_job_exec(job), []
        command = ["sh", "-c", script]
        if len(script.encode()) > WORD_BYTES_MAX:
            file = Path(self.tmpdir, f"{job.jobid}.sh")
            file.write_text(script)
            inputs = self._client.upload(LocalFile(file, "snakemake.sh"))
            command = ["sh", "snakemake.sh"]
        settings, environment = self.workflow.executor_settings, self.envvars()
        has_image = settings.image or job.resources.get("pilotage_image")
        if self._shares(SharedFSUsage.SOFTWARE_DEPLOYMENT) and not has_image:
            environment = {"PATH": os.environ.get("PATH", os.defpath), **environment}
        return described(
            f"{job.name}-{job.jobid}",
            job.resources,
            settings,
            command,
            environment=environment,
            inputs=inputs,
        )

    def _shares(self, usage: SharedFSUsage) -> bool:
        return usage in self.workflow.storage_settings.shared_fs_usage

    def get_job_exec_prefix(self, job: JobExecutorInterface) -> str:
        """Return the commands before Snakemake: a pilot starts a job in a folder of its own."""
        if not self.workflow.storage_settings.assume_common_workdir:
            return ""
        folder = shlex.quote(str(self.workflow.workdir_init))
        hint = "this node does not see the working directory of Snakemake (/tmp is private)"
        return f"{{ cd {folder} || {{ echo {shlex.quote(hint)} >&2; exit 1; }}; }}"

    def additional_general_args(self) -> str:
        """Return arguments that suit Snakemake inside a job.

        `--cores all` would mean all cores of the node. The limit of jobs per second, which is for
        batch systems, would keep it alive for a second after its last job.
        """
        return '--cores "$PILOTAGE_CORES" --max-jobs-per-timespan 1000/0s'

    # -- an earlier run ---------------------------------------------------------------------------

    def _kill_earlier_runs(self) -> None:
        """Kill the jobs of a Snakemake that was killed: they would write to the same files.

        Its own record of active jobs does not help: jobs delete their ids from it when they start.
        """
        for name in self._record.ended_runs():
            left = JobFilter(submission_name=name, states=(*ACTIVE, JobState.HELD))
            ids = [view.id for view in self._client.search(left)]
            if not ids:
                continue
            self.logger.info(f"pilotage: killing {len(ids)} jobs of the earlier run {name}")
            self._client.kill(ids, reason="Snakemake ended before its jobs")
            until = time.monotonic() + KILL_S
            while time.monotonic() < until and any(self._client.search(left)):
                time.sleep(CHECK_SOONEST_S)

    # -- states -----------------------------------------------------------------------------------

    async def check_active_jobs(
        self, active_jobs: Sequence[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have ended, and yield the others. Without an answer, yield all."""
        if not active_jobs:  # also before __post_init__
            self.next_seconds_between_status_checks = CHECK_SOONEST_S
            return
        infos = {int(one.external_jobid or 0): one for one in active_jobs}
        try:
            async with self.status_rate_limiter:
                views = self._read(infos)
            self._tell_answer()
            self._tell_waiting(list(views.values()))
        except errors.ClientError as why:
            self._tell_outage(why)
            for info in active_jobs:
                yield info
            return
        for id, info in infos.items():
            view = views.get(id)
            if view is not None and view.state not in ENDED and not self._has_given_up(view):
                yield info
                continue
            self._active.discard(id)
            self._changed_at = time.monotonic()
            if view is not None and view.state is JobState.DONE:
                self.report_job_success(info)
            else:
                self._report_failure(id, info, view)
        setting = self.workflow.remote_execution_settings.seconds_between_status_checks
        soon = (time.monotonic() - self._changed_at) / 10
        self.next_seconds_between_status_checks = max(CHECK_SOONEST_S, min(setting, soon))

    def _read(self, ids: Iterable[int]) -> "dict[int, JobView]":
        """Return the jobs: one request for the active ones, and one for those that have ended."""
        active = JobFilter(submission_name=self._run_name, states=ACTIVE)
        found = {view.id: view for view in self._client.search(active)}
        # A job that changes its state during the search may be missing, so read it by its id.
        found.update((view.id, view) for view in self._views(set(ids) - found.keys()))
        return found

    def _views(self, ids: Iterable[int]) -> "list[JobView]":
        left = sorted(ids)
        views: list[JobView] = []
        for start in range(0, len(left), IDS_A_READING):
            some = tuple(left[start : start + IDS_A_READING])
            views += self._client.search(JobFilter(ids=some, include_deleted=True))
        return views

    def _has_given_up(self, view: "JobView") -> bool:
        """Return whether the central holds the job because its attempts were lost.

        A job that a person holds continues after its release.
        """
        if view.state is not JobState.HELD:
            self._held.discard(view.id)
            return False
        if view.reason.startswith(LOST):
            with suppress(errors.ClientError):
                self._client.kill([view.id], reason="lost too often for Snakemake")
            return True
        if view.id not in self._held:
            self._held.add(view.id)
            ways = f"`pilotage release {view.id}` or `pilotage kill {view.id}`"
            self.logger.error(f"pilotage job {view.id} is Held ({view.reason}): {ways}")
        return False

    def _report_failure(self, id: int, info: SubmittedJobInfo, view: "JobView | None") -> None:
        if view is None:
            self.report_job_error(info, msg=f"The central has no pilotage job {id} any more.\n")
            return
        place = f" at {view.site}" if view.site else ""
        why = f"pilotage job {id} {view.state.value}{place}: {view.reason}\n"
        self.report_job_error(info, msg=why, aux_logs=self._keep_log(id, info.job.name, why))

    def _keep_log(self, id: int, name: str, why: str) -> list[str]:
        """Write the output of a job to a file, and return its path; empty if that fails."""
        file = Path(".snakemake", "pilotage_logs", f"{name.replace('/', '_')}-{id}.log").absolute()
        try:
            seen = self._client.peek(id, bytes=LOG_BYTES, wait_s=LOG_S)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{why}{seen.stdout}{seen.stderr}")
        except (errors.ClientError, OSError) as trouble:
            self.logger.error(f"pilotage: no log of job {id} (pilotage logs {id}): {trouble}")
            return []
        return [str(file)]

    # -- trouble, and the end -------------------------------------------------------------------

    def _tell_outage(self, why: Exception) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self.logger.error(f"pilotage: {why}. Snakemake waits; submitted jobs continue.")

    def _tell_answer(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self.logger.info("pilotage: the central answers again.")

    def _tell_waiting(self, views: "list[JobView]") -> None:
        """Say once that no job runs: it may be that no pilot fits."""
        idle_s = time.monotonic() - self._changed_at
        is_new = self._hinted_at < self._changed_at
        if is_new and idle_s > HINT_AFTER_S and {one.state for one in views} == {JobState.WAITING}:
            self._hinted_at = time.monotonic()
            hint = f"`pilotage explain {views[0].id}` says why"
            self.logger.error(f"pilotage: all {len(views)} submitted jobs wait: {hint}.")

    def cancel_jobs(self, active_jobs: Sequence[SubmittedJobInfo]) -> None:
        """Kill all jobs, even those that `check_active_jobs` is looking at."""
        try:
            if self._open is not None:  # the central may have it, so learn its ids
                self._send_open()
            if self._active:
                self._client.kill(sorted(self._active), reason="Snakemake was stopped")
                self._active.clear()
        except errors.ClientError as why:
            way = f"pilotage kill --filter submission_name={self._run_name} --all"
            self.logger.error(f"pilotage: the jobs are not killed: {why}. Try: {way}")

    def shutdown(self) -> None:
        """Stop the checks, then close the connections."""
        super().shutdown()
        self._record.close(is_complete=not self._active and self._open is None)
        self._client.close()
