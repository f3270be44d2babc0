"""The tests of Snakemake for executor plugins, against the central that the environment names."""

from snakemake.common.tests import TestWorkflowsLocalStorageBase
from snakemake_executor_plugin_pilotage import ExecutorSettings


class TestOnPilots(TestWorkflowsLocalStorageBase):
    __test__ = True

    def get_executor(self) -> str:
        return "pilotage"

    def get_executor_settings(self) -> ExecutorSettings:
        return ExecutorSettings()
