"""A case of the gate takes at most 20 seconds, except for a few that must take longer.

Most of these run several processes through kills and take-overs, and wait for leases to end.
"""

from typing import Final

from tests import durations

from . import tree

# File, and test. Of a test with parameters all cases may be long.
ALLOWED: Final = {
    "acceptance/sites/test_four_sites.py": ("test_all_jobs_that_fit_are_done_once",),
    "acceptance/test_ctapipe_chain.py": (
        "test_runs_become_one_file_with_the_right_directions_on_two_pilots",
    ),
    "acceptance/test_ctapipe_production.py": (
        "test_runs_in_groups_of_four_become_one_file_with_the_right_directions",
    ),
    "acceptance/test_death_around_the_central.py": (
        "test_a_pilot_a_guard_and_the_broker_die_and_every_job_ends_once",
    ),
    "acceptance/test_death_of_the_central.py": (
        "test_a_central_that_is_killed_again_and_again_loses_no_job_and_counts_none_twice",
    ),
    "acceptance/test_parked_pilots.py": (
        "test_a_new_leader_calls_them_over_the_bus",
        "test_those_that_know_no_other_process_hear_over_the_bus_where_the_new_leader_is",
        "test_without_a_bus_they_ask_by_themselves",
    ),
    "acceptance/test_postgresql.py": (
        "test_neither_its_death_nor_that_of_its_database_loses_a_job",
    ),
    "acceptance/test_prod6_graph.py": ("test_all_is_completed_without_a_hand",),
    "acceptance/test_productions.py": (
        "test_it_pauses_goes_on_and_outlives_the_death_of_the_central_at_each_step",
    ),
    "acceptance/test_takeover.py": (
        "test_neither_a_database_that_crashes_nor_ended_connections_lose_anything",
    ),
    "acceptance/test_takeover_on_the_bus.py": (
        "test_a_leader_without_its_lease_answers_nothing_over_the_broker_that_it_still_has",
    ),
    "acceptance/test_workflow_examples.py": ("test_the_mass_of_the_z_comes_out",),
    "contract/element/test_arc.py": ("test_pilots_live_and_end_with_either_credential",),
    "docs/test_pages_of_tokens.py": ("test_an_arc_that_trusts_the_central",),
    "docs/test_tutorial.py": ("test_a_page_happens_as_it_is_told",),
    "faults/test_kills.py": (
        "test_a_central_that_is_killed_under_load_loses_nothing_and_counts_nothing_twice",
    ),
    "faults/test_outages.py": ("test_payloads_wait_for_a_central_that_is_away_and_none_is_lost",),
    "integration/test_client_wheel.py": ("test_pip_installs_the_client_from_a_central",),
    "integration/test_compiled_matcher.py": (
        "test_the_compiled_form_does_what_the_matcher_s_tests_ask",
    ),
    "integration/test_wheel.py": (
        "test_an_installed_central_hands_out_the_wheel_that_it_came_from",
        "test_an_installed_pilotage_says_where_benchmarks_run",
        "test_every_module_is_imported_from_the_wheel",
        "test_the_client_runs_on_python_3_10",
        "test_the_command_is_there",
        "test_the_pilot_of_the_wheel_runs_on_a_bare_interpreter",
    ),
    "load/test_pilot_cost.py": (
        "test_a_pilot_costs_little_on_the_oldest_python_too",
        "test_the_bench_of_the_pilot_has_a_figure_for_each_goal",
    ),
    "simulation/test_leaders.py": ("test_worlds_of_two_leaders_keep_the_promises",),
    "simulation/test_outages.py": (
        "test_a_world_keeps_the_promises_if_something_is_away_for_hours",
    ),
    "simulation/test_seeds.py": ("test_the_same_seed_gives_the_same_trace_in_every_process",),
    "unit/matcher/test_machine.py": ("TestUnlimitedOfMany::runTest",),
    "unit/pilot/test_journal.py": ("test_every_cut_of_a_write_leaves_the_old_identity",),
}


def test_no_other_case_of_the_gate_is_long() -> None:
    allowed = {f"tests/{file}::{test}" for file, tests in ALLOWED.items() for test in tests}
    page = (tree.ROOT / durations.PAGE).read_text()
    long = {case.partition("[")[0] for case in durations.named_as_long(page)}

    assert long, "the page lists cases in another form now"
    assert long <= allowed, "make it shorter, mark it `long`, or list it here"


def test_all_that_may_be_long_exist() -> None:
    missing = [
        f"{file}::{test}"
        for file, tests in ALLOWED.items()
        for test in tests
        if test.partition("::")[0] not in (tree.ROOT / "tests" / file).read_text()
    ]

    assert not missing
