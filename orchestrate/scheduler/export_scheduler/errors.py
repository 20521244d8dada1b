"""What can go wrong, in words for the user."""

from __future__ import annotations


class SchedulerError(Exception):
    """One line: what is wrong and what to do about it."""
