"""What a rename has come to, judged by its answer and by what is in the folder afterwards."""

from __future__ import annotations

from enum import Enum


class Answer(Enum):
    """What the server said to a rename."""

    DONE = "done"
    REFUSED = "refused"
    LOST = "lost"


class RenameOutcome(Enum):
    """What has become of it."""

    DONE = "the file has its final name"
    FETCHED = "it had its final name, and is gone already"
    BOTH_NAMES = "it has both names: linked, and not unlinked"
    NAME_TAKEN = "it has its temporary name; another file has the final one"
    NOT_DONE = "it has its temporary name"
    UNKNOWN = "nobody can tell"


def rename_outcome(
    answer: Answer,
    *,
    has_temporary_name: bool | None,
    has_final_name: bool | None,
    is_own_size: bool,
    is_same_file: bool,
) -> RenameOutcome:
    """Judge a rename.

    Args:
        answer: What the server said.
        has_temporary_name: Whether there is something of that name; None when nobody can tell.
        has_final_name: The same of the final name.
        is_own_size: Whether what has the final name is as large as our file.
        is_same_file: Whether both names seem to be one file.
    """
    if has_temporary_name:
        if has_final_name:
            return RenameOutcome.BOTH_NAMES if is_same_file else RenameOutcome.NAME_TAKEN
        return RenameOutcome.NOT_DONE
    if has_temporary_name is None:
        return _unseen(answer, has_final_name=has_final_name, is_own_size=is_own_size)
    if has_final_name and is_own_size:
        return RenameOutcome.DONE
    if answer is Answer.DONE:
        return RenameOutcome.FETCHED if has_final_name is False else RenameOutcome.DONE
    # Nothing but a rename takes away a name that nobody else knows.
    is_moved = answer is Answer.LOST and has_final_name is None
    return RenameOutcome.DONE if is_moved else RenameOutcome.UNKNOWN


def _unseen(answer: Answer, *, has_final_name: bool | None, is_own_size: bool) -> RenameOutcome:
    """Judge where nobody can tell whether the temporary name is still there: by the answer."""
    if answer is Answer.DONE:
        return RenameOutcome.DONE
    if answer is Answer.REFUSED:
        return RenameOutcome.NAME_TAKEN if has_final_name else RenameOutcome.NOT_DONE
    return RenameOutcome.DONE if has_final_name and is_own_size else RenameOutcome.UNKNOWN
