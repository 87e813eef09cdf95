"""What HimbeereCouch had wrong is not repeated: which test holds which."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

HELD = {
    "H1: global modules reach no program": [
        "faults/test_runner.py::test_global_modules_reach_every_program_of_their_signer",
    ],
    "H2: code without a timestamp, or with its type as text, is not loaded": [
        "runner/test_judge.py::test_a_document_without_a_timestamp_or_with_its_type_as_text_is_taken",
    ],
    "H3: of two documents of one name one does not run, and nobody says so": [
        "runner/test_supervisor.py::test_of_two_documents_of_one_name_the_second_is_refused_with_its_reason",
        "runner/test_supervisor.py::test_two_signers_of_one_name_run_both",
    ],
    "H4: a malformed packet ends the wait for a server": [
        "runner/test_discovery.py::test_no_packet_ends_the_wait",
    ],
    "H5: whoever asks gets the password, which can be computed, and a device follows any server": [
        "runner/test_discovery.py::test_an_answer_says_who_the_device_is_and_no_credential",
        "runner/test_discovery.py::test_a_server_is_taken_only_if_its_announcement_is_signed",
        "runner/test_identity.py::test_the_password_is_made_once_and_is_the_devices_own",
    ],
    "H6: a command of an outage is lost, one that hangs blocks all, a failure to write loses the result": [
        "faults/test_runner.py::test_a_command_found_after_an_outage_runs_if_it_has_not_expired",
        "faults/test_runner.py::test_a_command_that_does_not_end_is_ended",
        "faults/test_runner.py::test_a_result_that_the_database_refuses_holds_up_nothing_else",
    ],
    "H7: a heartbeat every two seconds": [
        "runner/test_reporter.py::test_a_device_at_rest_writes_nothing_and_many_changes_at_once_are_one",
    ],
    "H8: a child that dies early hangs the start": [
        "runner/test_supervisor.py::test_programs_that_die_at_once_hold_up_no_other",
    ],
    "H9: log is missing at a module's top, circles recurse": [
        "runner/test_box.py::test_main_runs_with_what_is_given_from_the_first_line_on",
        "runner/test_box.py::test_modules_import_each_other_in_circles",
    ],
    "H10: a control port on the network, with pickle": [
        "faults/test_runner.py::test_a_runner_listens_nowhere",
    ],
    "H11: every deletion wakes everybody, that of a library reloads nothing": [
        "runner/test_supervisor.py::"
        "test_a_deletion_elsewhere_restarts_nothing_and_that_of_a_library_restarts_its_users",
    ],
}


@pytest.mark.parametrize("fault", HELD)
def test_each_fault_is_held_by_a_test_that_is_there(fault: str) -> None:
    for name in HELD[fault]:
        file, _, test = name.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_no_fault_of_the_eleven_is_left_out() -> None:
    assert [fault.partition(":")[0] for fault in HELD] == [f"H{number}" for number in range(1, 12)]
