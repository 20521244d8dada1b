"""People join, change and leave, runs fail and are killed: Mapp has the audience all the same."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from audience_runs import STREAM, Days, import_into, messages
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from killed_runs import run_killed
from target_runs import deliver, deliver_again, kept_deliveries

from sandbox.mapp import Mapp
from target_mapp_sftp.errors import ReplayRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

ADDRESSES = st.sampled_from([f"{name}@example.org" for name in ("a", "A", "b", "c", "d", "e", "f")])
BAD_ADDRESSES = st.sampled_from(["", "nobody", "b@example"])
NAMES = st.sampled_from(["Ann", "Bob", "Çy", 'D"', None])
MAPS = st.sampled_from(["user.FirstName", "user.LastName"])
# A whole run touches files about thirty times, and fifteen times from where it publishes.
MOMENTS = st.integers(0, 30)


class ExportsToMapp(RuleBasedStateMachine):
    """Delivers an audience that changes, and imports after every step what is in the folders."""

    @initialize()
    def begin(self) -> None:
        """Nobody is in the audience, nothing was delivered."""
        self.folder = Path(tempfile.mkdtemp(prefix="changes-"))
        self.days = Days(
            self.folder,
            {
                "changes": "only",
                "removals": "file",
                "max_rejected": "100%",
                "keep_delivered_days": 7,
            },
        )
        self.audience: dict[str, str | None] = {}
        self.header = "user.FirstName"
        self.mapp = Mapp()
        # Members that Mapp may have too much: who left while nobody could know it.
        self.strays: set[str] = set()
        self.may_forget = False
        # Who stays for now, because the last run could not know whether it lacked them.
        self.waiting: set[str] = set()
        # Of the next scan: whom it lacks by chance, and how many the tap says that it may.
        self.missed: set[str] = set()
        self.may_lack: int | None = 0
        # Who was in all scans since the last delivery, and in that one.
        self.seen: set[str] = set()

    def teardown(self) -> None:
        """Remove the files."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    # The audience

    @rule(address=ADDRESSES | BAD_ADDRESSES, name=NAMES)
    def join_or_change(self, address: str, name: str | None) -> None:
        """Somebody is in the audience with this name."""
        self.audience[address] = name

    @precondition(lambda self: self.audience)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Somebody leaves."""
        del self.audience[data.draw(st.sampled_from(sorted(self.audience)))]

    @rule(header=MAPS)
    def map_the_name(self, header: str) -> None:
        """The map may change, and so the meaning of all rows."""
        self.header = header

    @rule(data=st.data(), more=st.integers(0, 2) | st.none())
    def scan_badly(self, data: st.DataObject, more: int | None) -> None:
        """People move while the next scan reads: it may lack some, though nobody twice in a row."""
        members = self.members()
        can_be_missed = sorted(
            low for low in self.valid(self.audience) if low in self.seen or low not in members
        )
        if can_be_missed:
            self.missed = data.draw(st.sets(st.sampled_from(can_be_missed), max_size=2))
        self.may_lack = None if more is None else len(self.missed) + more

    def messages(self) -> list[Any]:
        """What the tap sends."""
        return messages(self.scanned(), self.days.state, missing=self.may_lack)

    def scanned(self) -> dict[str, str | None]:
        """Those of the audience whom the scan has."""
        return {each: n for each, n in self.audience.items() if each.lower() not in self.missed}

    def end_scan(self, *, is_delivered: bool) -> None:
        """The scan after this one is a good one."""
        scanned = self.valid(self.scanned())
        self.seen = scanned if is_delivered else self.seen & scanned
        self.missed, self.may_lack = set(), 0

    @staticmethod
    def valid(people: Iterable[str]) -> set[str]:
        """The addresses that are delivered, each once."""
        return {each.lower() for each in people if each.endswith("@example.org")}

    # What goes wrong

    @rule(moment=MOMENTS, is_publishing=st.booleans())
    def be_killed(self, moment: int, is_publishing: bool) -> None:
        """A run dies; what it had put out is kept, as Meltano keeps it."""
        sent = self.messages()
        knew = bool(self.days.delivered)
        was_killed, states = run_killed(
            self.folder, sent, self.settings(), moment, is_publishing=is_publishing
        )
        if states:
            self.days.state = states[-1]
        self.import_files()
        if not was_killed:
            self.check()
            return
        # Who came back in this run is missing for the first time when they leave.
        self.waiting -= self.valid(self.scanned())
        self.end_scan(is_delivered=False)
        if not knew:
            # Of a first delivery that no state tells of, nobody knows.
            self.may_forget = True

    @rule(keep=st.integers(0, 5))
    def break_off(self, keep: int) -> None:
        """The tap dies before it has said that the audience is complete."""
        sent = self.messages()[:-1]
        result = deliver(self.folder, sent[: 3 + keep], **self.settings())
        assert result.error is not None
        self.import_nothing()
        self.end_scan(is_delivered=False)

    @rule()
    def find_no_folder(self) -> None:
        """The second of the two folders refuses: neither file stays."""
        removals = self.folder / "removals"
        removals.mkdir(exist_ok=True)
        aside = removals.rename(self.folder / "aside")
        removals.write_text("in the way")
        result = deliver(self.folder, self.messages(), **self.settings())
        removals.unlink()
        aside.rename(removals)
        if result.error is None:
            # Nobody was to be removed.
            self.finish(result.states)
        else:
            self.import_nothing()
            self.end_scan(is_delivered=False)

    @rule(is_state=st.booleans())
    def lose_the_memory(self, is_state: bool) -> None:
        """The user begins anew; or another machine runs, or a folder that did not stay."""
        if is_state:
            self.days.state = None
        else:
            shutil.rmtree(self.folder / "snapshots", ignore_errors=True)
        self.may_forget = True

    # Runs

    @rule()
    def run(self) -> None:
        """A run that ends well."""
        self.run_with({})

    @rule()
    def run_again(self) -> None:
        """Runs are what happens most."""
        self.run_with({})

    @rule()
    def run_in_full(self) -> None:
        """A run with `changes: off` for once."""
        self.run_with({"changes": "off"})

    @rule()
    def run_without_removals(self) -> None:
        """Who leaves now is not removed, neither now nor later."""
        self.may_forget = True
        self.run_with({"removals": "off"})
        self.may_forget = True

    @rule()
    def run_without_snapshots(self) -> None:
        """A delivery of which the snapshot does not know."""
        sent = self.messages()
        off = {"changes": "off", "removals": "off", "snapshot_dir": None}
        result = deliver(self.folder, sent, **{**self.settings(), **off})
        assert result.error is None
        self.days.state = result.states[-1]
        self.import_files()
        # Who leaves before a snapshot knows of them stays in Mapp.
        self.strays |= self.valid(self.scanned())
        self.end_scan(is_delivered=False)

    @rule(data=st.data(), address=ADDRESSES, name=NAMES)
    def deliver_again(self, data: st.DataObject, address: str, name: str | None) -> None:
        """Any kept delivery is sent again: it is refused, or the next run is right all the same."""
        self.audience[address] = name
        self.run_with({})
        kept = kept_deliveries(self.folder)
        if not kept:
            return
        files = kept[data.draw(st.integers(0, len(kept) - 1))]
        try:
            deliver_again(self.folder, files, **self.settings())
        except ReplayRefusedError:
            self.import_nothing()
        else:
            self.import_files()
            self.run_with({})

    def settings(self) -> dict[str, Any]:
        """Of a run now."""
        field_map = {"email": "user.Email", "name": self.header}
        return {**self.days.settings, "field_map": field_map}

    def run_with(self, more: dict[str, Any]) -> None:
        """Run, with other settings for once."""
        sent = self.messages()
        result = deliver(self.folder, sent, **{**self.settings(), **more})
        assert result.error is None, result.error
        self.finish(result.states)

    def finish(self, states: list[dict[str, Any]]) -> None:
        """End a run that delivered."""
        self.days.state = states[-1]
        self.import_files()
        self.check()

    def import_files(self) -> None:
        """Have Mapp import what is new: nobody who is in the audience is ever removed."""
        before = self.members().keys()
        import_into(self.mapp, self.folder)
        assert not (before - self.members().keys()) & self.valid(self.audience)

    def import_nothing(self) -> None:
        """End a run that has not."""
        before = self.members()
        import_into(self.mapp, self.folder)
        assert self.members() == before

    def members(self) -> dict[str, dict[str, str]]:
        """The members of the group by address."""
        found = self.mapp.members(STREAM).values()
        return {each["user.Email"].lower(): each for each in found}

    def check(self) -> None:
        """Mapp has everybody of the scan with the right name, and who left at most once more."""
        expected: dict[str, str] = {}
        for address, name in self.scanned().items():
            if address.endswith("@example.org"):
                expected.setdefault(address.lower(), name or "")
        members = self.members()
        assert {each: members.get(each, {}).get(self.header) for each in expected} == expected
        too_many = members.keys() - expected.keys()
        cannot_be_read = any(not each.endswith("@example.org") for each in self.audience)
        new = too_many - self.strays
        if not self.may_forget:
            is_certain = self.may_lack == 0 and not cannot_be_read
            assert not (new if is_certain else new & self.waiting)
        self.strays = {*too_many} if self.may_forget else too_many & self.strays
        self.waiting = too_many - self.strays
        self.may_forget = False
        self.end_scan(is_delivered=True)


@pytest.mark.parametrize("moment", range(16))
def test_a_kill_at_every_moment_of_publishing(moment: int) -> None:
    """Whatever was published by then, the next run puts Mapp right, and so does the one after."""
    state = ExportsToMapp()
    state.begin()
    state.audience = {"a@example.org": "Ann", "b@example.org": "Bob", "e@example.org": "Ed"}
    state.run()
    changed = {"e@example.org": "Eve"}
    state.audience = {"a@example.org": "Anna", "c@example.org": "Cy", **changed}
    state.be_killed(moment, is_publishing=True)
    # Who was new in the killed run may have left before the next, and who changed may be as before.
    state.audience = {"a@example.org": "Ann", "d@example.org": "Di", **changed}
    state.run()
    assert state.members().keys() == state.audience.keys()
    state.audience = {"a@example.org": "Ann"}
    state.run()
    assert state.members().keys() == {"a@example.org"}
    state.teardown()


TestExportsToMapp = ExportsToMapp.TestCase
TestExportsToMapp.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
