"""Faults and variants of the sandbox's API, on demand."""

from __future__ import annotations

from typing import Literal

import msgspec

Interruption = Literal[
    "429",  # refused, unprocessed, without a word on when to come again
    "429-seconds",  # the same with Retry-After: 0
    "429-date",  # the same with Retry-After as a date that has passed
    "500",  # a fault before the cursor advances
    "500-after",  # a fault after it has advanced
    "503",  # a fault without a body
    "drop",  # the connection ends before the request is processed
    "drop-after",  # and after
    "truncate",  # half of the body, then the end of the connection
    "garbage",  # 200 with a body that is no JSON
    "slow",  # half of the body, a pause of slow_seconds, the rest
]


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The switches; every default is the plain, documented behaviour.

    Attributes:
        interruptions: Kinds of faults that strike pages of scans, in turn.
        every: Each such page, counted from the first scan on.
        times: How often at most; nothing means for ever.
        interrupted_bucket: Only scans that read this bucket are interrupted, and only their pages
            are counted.
        fail_after_pages: All further pages of scans get a 500.
        refuse: All pages of scans get this status.
        delay_ms: Time a page takes, while others are served.
        bears: So many pages are worked on at once, in `delay_ms` each; the others wait for them.
        pages_per_second: A page beyond so many within a second gets 429.
        slow_seconds: The pause of the interruption `slow`.
        cursor: `positional` tells where a page begins; `scroll` names a scan, the same on all its
            pages, which moves on with every call.
        cursor_pages: A cursor expires after so many pages.
        cursor_seconds: A cursor expires so long after the page that gave it.
        stuck: The cursor never moves: the same page again and again.
        endless: After the last page comes the first one again, under a new cursor.
        end: How a last page says that it is one.
        next_key: The name of the cursor in an answer.
        trailing_empty_page: The last page is followed by an empty one.
        short_pages: Pages hold fewer people than asked for.
        default_limit: Page size when none is asked for.
        total_off: What `total` is wrong by.
        total_cap: `total` is never more than this, as where a search engine stops counting.
        leavers: So many people of the population, the first ones, leave all audiences at once.
        joiners: So many people of the population, the last ones, join theirs at the same moment.
        moves_after_pages: The moment: when so many pages of scans have been answered. A positional
            cursor goes through the living list, so that those behind the leavers move up; a
            scroll is a snapshot. Totals are those of the living list.
        without_total: Pages do not say `total`.
        splits: `ignored` answers with all buckets; `overlapping` with one bucket too many.
        numbers: How numbers are written.
        without_id: Profiles have no `_id`.
        hidden_fields: Profiles have none of these, as where "Hide Private Fields" is on and the
            role of the token may not see them; the schema lists them all the same.
        without_segments: Profiles have no `segments` when `fields` are asked for.
        slugs: Audiences that are called by another slug, which may be that of another one.
        slugs_refused: Scans take ids only.
        forbidden: Paths that this token may not ask: 403.
        schema_v2_missing: `/v2/schema` is not there.
        schema_key: The name of the columns in the v1 schema.
        sizes_missing: The list of segments has no sizes.
        sizes_zero: The sizes of all segments are 0, as before the first count.
        token_days: The token expires in so many days; one of 0 or less has expired, and everything
            gets 401. None: it never expires.
        auth_missing: `/v2/auth` is not there.
    """

    interruptions: tuple[Interruption, ...] = ()
    every: int = 3
    times: int | None = None
    interrupted_bucket: int | None = None
    fail_after_pages: int | None = None
    refuse: Literal[401, 403, 404] | None = None
    delay_ms: float = 0
    bears: int | None = None
    pages_per_second: int | None = None
    slow_seconds: float = 0.2
    cursor: Literal["positional", "scroll"] = "positional"
    cursor_pages: int | None = None
    cursor_seconds: float | None = None
    stuck: bool = False
    endless: bool = False
    end: Literal["empty", "missing", "null"] = "empty"
    next_key: Literal["_next", "next"] = "_next"
    trailing_empty_page: bool = False
    short_pages: bool = False
    default_limit: Literal[10, 20] = 10
    total_off: int = 0
    total_cap: int | None = None
    leavers: int = 0
    joiners: int = 0
    moves_after_pages: int | None = None
    without_total: bool = False
    splits: Literal["honoured", "ignored", "overlapping"] = "honoured"
    numbers: Literal["mixed", "strings", "numbers"] = "mixed"
    without_id: bool = False
    hidden_fields: tuple[str, ...] = ()
    without_segments: bool = False
    slugs: dict[str, str] = {}
    slugs_refused: bool = False
    forbidden: tuple[str, ...] = ()
    schema_v2_missing: bool = False
    schema_key: Literal["columns", "fields"] = "columns"
    sizes_missing: bool = False
    sizes_zero: bool = False
    token_days: float | None = None
    auth_missing: bool = False

    def __post_init__(self) -> None:
        counts = (self.every, self.bears or 1, self.pages_per_second or 1)
        if min(counts) < 1:
            raise ValueError("`every`, `bears` and `pages_per_second` count from 1 on")
        if min(self.delay_ms, self.slow_seconds) < 0:
            raise ValueError("`delay_ms` and `slow_seconds` are 0 or more")


def read_faults(text: bytes) -> Faults:
    """Read the switches from JSON.

    Raises:
        ValueError: Naming the switch that is wrong.
    """
    try:
        return msgspec.json.decode(text, type=Faults)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
