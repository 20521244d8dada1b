"""What a rename has come to, by its answer and by what the folder shows."""

from __future__ import annotations

from itertools import product

import pytest

from target_mapp_sftp.delivery.rename import Answer, RenameOutcome, rename_outcome

DONE, REFUSED, LOST = Answer.DONE, Answer.REFUSED, Answer.LOST
IS_PUBLISHED = {RenameOutcome.DONE, RenameOutcome.FETCHED, RenameOutcome.BOTH_NAMES}


@pytest.mark.parametrize(
    "case",
    [
        (DONE, False, True, True, False, "DONE"),
        (DONE, False, False, False, False, "FETCHED"),
        (DONE, True, False, False, False, "NOT_DONE"),
        (DONE, True, True, True, True, "BOTH_NAMES"),
        (DONE, None, None, False, False, "DONE"),
        (REFUSED, True, False, False, False, "NOT_DONE"),
        (REFUSED, True, True, True, False, "NAME_TAKEN"),
        (REFUSED, False, True, True, False, "DONE"),
        (REFUSED, False, True, False, False, "UNKNOWN"),
        (REFUSED, False, False, False, False, "UNKNOWN"),
        (REFUSED, False, None, False, False, "UNKNOWN"),
        (REFUSED, None, True, False, False, "NAME_TAKEN"),
        (REFUSED, None, None, False, False, "NOT_DONE"),
        (LOST, True, False, False, False, "NOT_DONE"),
        (LOST, False, True, True, False, "DONE"),
        (LOST, False, None, False, False, "DONE"),
        (LOST, False, False, False, False, "UNKNOWN"),
        (LOST, None, None, False, False, "UNKNOWN"),
    ],
)
def test_each_case(case: tuple[Answer, bool | None, bool | None, bool, bool, str]) -> None:
    """The answer is believed only as far as the folder does not say otherwise."""
    answer, temporary, final, own, same, outcome = case
    found = rename_outcome(
        answer,
        has_temporary_name=temporary,
        has_final_name=final,
        is_own_size=own,
        is_same_file=same,
    )

    assert found is RenameOutcome[outcome]


@pytest.mark.parametrize("answer", Answer)
def test_a_refused_rename_is_never_published_unseen(answer: Answer) -> None:
    """Nor is anything published whose temporary name is still there alone."""
    for temporary, final, own, same in product(
        (True, False, None), (True, False, None), (True, False), (True, False)
    ):
        outcome = rename_outcome(
            answer,
            has_temporary_name=temporary,
            has_final_name=final,
            is_own_size=own,
            is_same_file=same,
        )
        if temporary and not (final and same):
            assert outcome not in IS_PUBLISHED
        if answer is REFUSED and not final:
            assert outcome not in IS_PUBLISHED
