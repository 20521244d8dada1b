"""Runs of the target over days: people in, what was delivered and what Mapp makes of it out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from target_runs import Message, Result, deliver, mark, record, schema

from sandbox.mapp import ImportJob, Mapp, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STREAM = "buyers"


def messages(
    people: Mapping[str, str | None],
    state: Mapping[str, Any] | None,
    *,
    missing: int | None = 0,
) -> list[Message]:
    """A whole scan of *people*, first names by address, as tap-lytics sends it.

    Args:
        people: Those whom the scan has.
        state: What the target put out last.
        missing: How many people it may lack; None where the tap does not say it.
    """
    run_id = "r1"
    recorded = (state or {}).get("bookmarks", {}).get(STREAM, {})
    more = {name: recorded[name] for name in ("delivered", "deliveries") if name in recorded}
    count = len(people)
    complete = mark("complete", STREAM, run_id, **more)
    scan = complete["value"]["bookmarks"][STREAM]["scan"]
    scan |= {"records": count} if missing is None else {"records": count, "missing": missing}
    return [
        mark("pending", STREAM, run_id, **more),
        schema(STREAM),
        mark("running", STREAM, run_id, **more),
        *[
            record(number, STREAM, email=email, name=name)
            for number, (email, name) in enumerate(people.items())
        ],
        complete,
    ]


@dataclass(slots=True)
class Days:
    """One audience, delivered day after day into local folders.

    Attributes:
        folder: For everything.
        settings: Of all runs.
        state: What the target put out last.
        seen: The names of the files that are there.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.settings = {
            "output_dir": str(self.folder / "out"),
            "spool_dir": str(self.folder / "spool"),
            "segment_membership": False,
            "file_name": "export-{timestamp}-{run_id}.csv",
            "snapshot_dir": str(self.folder / "snapshots"),
            "removals_folder": str(self.folder / "removals"),
            "max_removed": "100%",
            **self.settings,
        }

    def run(
        self, people: Mapping[str, str | None], *, missing: int | None = 0, **settings: Any
    ) -> Result:
        """A run; the result has its new files only, those of removals too."""
        wanted = {**self.settings, **settings}
        sent = messages(people, self.state, missing=missing)
        result = deliver(self.folder, sent, **wanted)
        if result.states:
            self.state = result.states[-1]
        removals = {each.name: each.read_text() for each in self.removals.glob("*")}
        files = {**result.files, **removals}
        result.files = {name: text for name, text in files.items() if name not in self.seen}
        self.seen |= result.files.keys()
        return result

    @property
    def removals(self) -> Path:
        """The folder of removals."""
        return self.folder / "removals"

    @property
    def delivered(self) -> dict[str, Any]:
        """The last delivery, as the state records it."""
        if self.state is None:
            return {}
        recorded: dict[str, Any] = self.state["bookmarks"][STREAM]["delivered"]
        return recorded


def in_mapp(mapp: Mapp) -> dict[str, str]:
    """The first names of the members by address."""
    members = mapp.members(STREAM).values()
    return {each["user.Email"]: each["user.FirstName"] for each in members}


def import_into(mapp: Mapp, folder: Path) -> None:
    """Have Mapp import what is new in the two folders: additions, then removals."""
    for name, mode in (("out", Mode.ADD_AND_UPDATE), ("removals", Mode.REMOVE)):
        if (folder / name).is_dir():
            mapp.run(ImportJob(folder=folder / name, pattern="*.csv", group=STREAM, mode=mode))
