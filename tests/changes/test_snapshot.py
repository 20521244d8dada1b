"""The snapshot by itself: what it knows of rows and contacts, and when it is not to be trusted."""

from __future__ import annotations

import io
import stat
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_mapp_sftp.errors import SnapshotInUseError, SnapshotNotWrittenError
from target_mapp_sftp.snapshot import Reference, Snapshot, SnapshotTerms
from target_mapp_sftp.snapshot.index import ContactIndex

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TODAY = date(2026, 11, 25)
TERMS = SnapshotTerms(
    name=("buyers", "somewhere"),
    identity="email",
    format="one column",
    normalize=str.lower,
    only_changes=True,
    names_left=True,
    full_every_days=7,
    today=TODAY,
)
ANN, BOB, CY = "Ann@example.org", "bob@example.org", "cy@example.org"
PEOPLE = {ANN: b"Ann\n", BOB: b"Bob\n"}


class Run:
    """One run with a snapshot.

    Args:
        folder: Of the snapshots.
        people: Rows by identifier.
        recorded: The last delivery, as the state records it.
        rejected: Identifiers in the audience that have no row.
        missing: How many people the scan may lack.
        terms: What differs from the usual terms.
    """

    def __init__(
        self,
        folder: Path,
        people: Mapping[str, bytes],
        recorded: Reference | None = None,
        rejected: Sequence[str] = (),
        missing: int | None = 0,
        **terms: Any,
    ) -> None:
        references = [recorded] if recorded else []
        self.snapshot = Snapshot(folder, replace(TERMS, **terms), references, recorded)
        self.new = [each for each in people if self.snapshot.add(each.lower())]
        rows = [people[each] for each in self.new]
        self.written = list(self.snapshot.rows_to_write(self.new, rows))
        for each in rejected:
            self.snapshot.keep([each.lower()])
        self.snapshot.decide_who_left(missing)
        self.left = [each for some in self.snapshot.identifiers_of_left() for each in some]
        self.full_because = self.snapshot.full_because

    def delivered(self) -> Reference:
        """Take the snapshot through a delivery; what the state then records."""
        with closing(self.snapshot):
            self.snapshot.prepare()
            self.snapshot.adopt()
        return self.snapshot.reference


def deliver(
    folder: Path, people: Mapping[str, bytes], recorded: Reference | None = None
) -> Reference:
    """A run that delivers."""
    return Run(folder, people, recorded).delivered()


def run(folder: Path, people: Mapping[str, bytes], recorded: Reference | None, **terms: Any) -> Run:
    """A run that delivers nothing."""
    done = Run(folder, people, recorded, **terms)
    done.snapshot.close()
    return done


def test_the_first_run_writes_everybody_and_removes_nobody(tmp_path: Path) -> None:
    """Nothing was delivered before, so nothing can be left out or removed."""
    first = run(tmp_path, PEOPLE, None)

    assert first.written == [b"Ann\n", b"Bob\n"]
    assert first.left == []
    assert first.full_because == "there is no snapshot of the last delivery"


def test_a_later_run_writes_who_is_new_or_changed_and_names_who_left(tmp_path: Path) -> None:
    """An unchanged row is left out; a contact in another letter case is the same."""
    recorded = deliver(tmp_path, {**PEOPLE, CY: b"Cy\n"})
    later = run(
        tmp_path, {ANN.upper(): b"Ann\n", CY: b"Cyril\n", "di@example.org": b"Di\n"}, recorded
    )

    assert later.full_because == ""
    assert later.written == [b"Cyril\n", b"Di\n"]
    assert later.left == [BOB]
    assert (later.snapshot.known, later.snapshot.added, later.snapshot.changed) == (3, 1, 1)


def test_a_contact_comes_once(tmp_path: Path) -> None:
    """The second one of an identifier is known, whether it was delivered before or not."""
    recorded = deliver(tmp_path, PEOPLE)
    with closing(Snapshot(tmp_path, TERMS, [recorded])) as snapshot:
        assert [snapshot.add(each) for each in (BOB, BOB, CY, CY)] == [True, False, True, False]


def test_a_rejected_contact_stays(tmp_path: Path) -> None:
    """Who is in the audience without a row is not removed, and is still known the day after."""
    recorded = deliver(tmp_path, PEOPLE)
    snapshot = Snapshot(tmp_path, TERMS, [recorded])
    snapshot.keep([ANN.lower()])
    snapshot.add(BOB)
    snapshot.rows_to_write([BOB], [b"Bob\n"])
    snapshot.decide_who_left(0)
    assert [*snapshot.identifiers_of_left()] == []
    with closing(snapshot):
        snapshot.prepare()
        snapshot.adopt()

    later = run(tmp_path, {BOB: b"Bob\n"}, snapshot.reference)
    assert later.left == [ANN]


def test_a_contact_that_was_rejected_first_is_written(tmp_path: Path) -> None:
    """A bad record of a contact does not keep a good one out."""
    recorded = deliver(tmp_path, PEOPLE)
    with closing(Snapshot(tmp_path, TERMS, [recorded])) as snapshot:
        snapshot.keep([BOB])
        assert snapshot.add(BOB)
        assert list(snapshot.rows_to_write([BOB], [b"Robert\n"])) == [b"Robert\n"]


@pytest.mark.parametrize(
    ("terms", "reason", "left"),
    [
        pytest.param({"format": "two"}, "the field map or the format has changed", [BOB], id="map"),
        pytest.param(
            {"identity": "mobile"},
            "the identifier has changed, or the streams that the audience is made of",
            [],
            id="identifier",
        ),
        pytest.param({"only_changes": False}, "changes is off", [BOB], id="off"),
        pytest.param(
            {"today": TODAY + timedelta(days=7)},
            "the last full delivery is 7 days old (full_every_days)",
            [BOB],
            id="a week later",
        ),
        pytest.param(
            {"today": TODAY - timedelta(days=1)},
            "the last full delivery lies in the future; the clock was changed",
            [BOB],
            id="a clock that goes backwards",
        ),
        pytest.param(
            {"name": ("buyers", "elsewhere")},
            "there is no snapshot of the last delivery",
            [],
            id="another destination",
        ),
    ],
)
def test_every_row_is_written_where_rows_cannot_be_compared(
    tmp_path: Path, terms: Mapping[str, Any], reason: str, left: list[str]
) -> None:
    """What was delivered under other terms is no measure; who left is known if identifiers are."""
    recorded = deliver(tmp_path, PEOPLE)
    later = run(tmp_path, {ANN: b"Ann\n"}, recorded, **terms)

    assert later.full_because == reason
    assert later.written == [b"Ann\n"]
    assert later.left == left


def test_a_day_before_the_week_is_over_only_changes_are_written(tmp_path: Path) -> None:
    """The days are counted from the last full delivery, not from the last one."""
    recorded = deliver(tmp_path, PEOPLE)
    second = Run(tmp_path, PEOPLE, recorded, today=TODAY + timedelta(days=6))
    assert second.full_because == ""
    recorded = second.delivered()

    assert run(tmp_path, PEOPLE, recorded, today=TODAY + timedelta(days=7)).full_because


@pytest.mark.parametrize("recorded", [None, Reference("another", "x")])
def test_a_snapshot_of_which_the_state_knows_nothing_is_not_used(
    tmp_path: Path, recorded: Reference | None
) -> None:
    """A state that was reset, or of another environment: every row, and nobody is removed."""
    deliver(tmp_path, PEOPLE)
    later = run(tmp_path, {CY: b"Cy\n"}, recorded)

    assert later.full_because == "the state does not know the delivery that the snapshot is of"
    assert later.left == []


def test_a_delivery_from_elsewhere_makes_the_next_one_full(tmp_path: Path) -> None:
    """Another machine delivered last: its rows are not known here, and identifiers still are."""
    recorded = deliver(tmp_path, PEOPLE)
    later = run(tmp_path, {ANN: b"Ann\n"}, Reference(recorded.line, "of another machine"))

    assert later.full_because == "it is not certain which delivery was the last"
    assert later.written == [b"Ann\n"]
    assert later.left == [BOB]


def test_a_restored_copy_makes_the_next_one_full(tmp_path: Path) -> None:
    """The state names a later delivery than the copy is of."""
    recorded = deliver(tmp_path, PEOPLE)
    (snapshot,) = tmp_path.glob("*.snapshot")
    copy = snapshot.read_bytes()
    recorded = deliver(tmp_path, {ANN: b"Anna\n"}, recorded)
    snapshot.write_bytes(copy)

    later = run(tmp_path, {ANN: b"Ann\n"}, recorded)
    assert later.written == [b"Ann\n"]


def test_a_candidate_that_no_state_names_makes_the_next_one_full(tmp_path: Path) -> None:
    """A run was killed before or after its files had their names: both are thought of."""
    recorded = deliver(tmp_path, PEOPLE)
    killed = Run(tmp_path, {ANN: b"Anna\n", CY: b"Cy\n"}, recorded)
    assert killed.left == [BOB]
    killed.snapshot.prepare()
    killed.snapshot.close()

    later = Run(tmp_path, {ANN: b"Ann\n"}, recorded)
    assert later.written == [b"Ann\n"]
    assert sorted(later.left) == [BOB, CY]

    # Killed again: nobody is forgotten.
    later.snapshot.prepare()
    later.snapshot.close()
    assert sorted(run(tmp_path, {ANN: b"Ann\n"}, recorded).left) == [BOB, CY]


def test_a_candidate_that_the_state_names_was_published(tmp_path: Path) -> None:
    """Only its renaming was missed, so the next run continues from it."""
    recorded = deliver(tmp_path, PEOPLE)
    killed = Run(tmp_path, {ANN: b"Anna\n"}, recorded)
    killed.snapshot.prepare()
    killed.snapshot.close()

    later = run(tmp_path, {ANN: b"Anna\n"}, killed.snapshot.reference)
    assert later.full_because == ""
    assert (later.written, later.left) == ([], [])


def test_a_delivery_that_failed_for_certain_changes_nothing(tmp_path: Path) -> None:
    """A candidate that was given up leaves the last delivery as it was."""
    recorded = deliver(tmp_path, PEOPLE)
    failed = Run(tmp_path, {ANN: b"Anna\n"}, recorded)
    failed.snapshot.prepare()
    failed.snapshot.discard()

    later = run(tmp_path, {ANN: b"Anna\n"}, recorded)
    assert later.full_because == ""
    assert (later.written, later.left) == ([b"Anna\n"], [BOB])


def test_a_failure_after_a_doubtful_delivery_stays_doubtful(tmp_path: Path) -> None:
    """Giving up a candidate does not bring back certainty that was not there before."""
    recorded = deliver(tmp_path, PEOPLE)
    killed = Run(tmp_path, {ANN: b"Anna\n", CY: b"Cy\n"}, recorded)
    killed.snapshot.prepare()
    killed.snapshot.close()
    failed = Run(tmp_path, {ANN: b"Ann\n"}, recorded)
    failed.snapshot.prepare()
    failed.snapshot.discard()

    later = run(tmp_path, {ANN: b"Ann\n"}, recorded)
    assert later.written == [b"Ann\n"]
    assert sorted(later.left) == [BOB, CY]


def test_a_run_that_ends_before_its_candidate_leaves_no_trace(tmp_path: Path) -> None:
    """What a run has begun to write is removed, also by the next one after a kill."""
    recorded = deliver(tmp_path, PEOPLE)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    run(tmp_path, {CY: b"Cy\n"}, recorded)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    (snapshot,) = tmp_path.glob("*.snapshot")
    snapshot.with_suffix(".new").write_bytes(b"half")
    assert run(tmp_path, PEOPLE, recorded).written == []


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_damaged_snapshot_is_not_used(tmp_path: Path, place: int) -> None:
    """One changed byte anywhere is seen."""
    recorded = deliver(tmp_path, PEOPLE)
    (snapshot,) = tmp_path.glob("*.snapshot")
    data = bytearray(snapshot.read_bytes())
    data[place] ^= 1
    snapshot.write_bytes(data)

    later = run(tmp_path, {ANN: b"Ann\n"}, recorded)
    assert later.full_because == "the snapshot is damaged, or its key was changed"
    assert (later.written, later.left) == ([b"Ann\n"], [])


@pytest.mark.parametrize("key", [None, b"", b"k" * 32])
def test_another_key_is_noticed(tmp_path: Path, key: bytes | None) -> None:
    """A lost or exchanged key makes the snapshot worthless."""
    recorded = deliver(tmp_path, PEOPLE)
    if key is None:
        (tmp_path / "key").unlink()
    else:
        (tmp_path / "key").write_bytes(key)

    later = run(tmp_path, {ANN: b"Ann\n"}, recorded)
    assert later.full_because == "the snapshot is damaged, or its key was changed"
    assert (tmp_path / "key").stat().st_size == 32


def test_a_cut_snapshot_is_not_used(tmp_path: Path) -> None:
    """Whatever is missing at its end."""
    recorded = deliver(tmp_path, PEOPLE)
    (snapshot,) = tmp_path.glob("*.snapshot")
    data = snapshot.read_bytes()
    for size in (0, 10, 40, 100, len(data) - 1):
        snapshot.write_bytes(data[:size])
        assert run(tmp_path, PEOPLE, recorded).written == [b"Ann\n", b"Bob\n"]


@pytest.mark.parametrize("names_left", [True, False])
def test_only_what_is_needed_is_on_the_disk(tmp_path: Path, names_left: bool) -> None:
    """Identifiers are there only where removals need them, values never; all of it is private."""
    person = {"ann@example.org": b'"ann@example.org","Secretname"\n'}
    Run(tmp_path, person, names_left=names_left).delivered()

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert (b"ann@example.org" in stored) == names_left
    assert b"Secretname" not in stored
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_removals_begin_with_the_second_run_that_has_them(tmp_path: Path) -> None:
    """A snapshot without identifiers knows what changed, and nobody's name."""
    first = Run(tmp_path, PEOPLE, names_left=False)
    recorded = first.delivered()
    second = Run(tmp_path, {ANN: b"Anna\n"}, recorded)
    assert not second.snapshot.can_name_left
    assert (second.written, second.left) == ([b"Anna\n"], [])
    recorded = second.delivered()

    third = run(tmp_path, {CY: b"Cy\n"}, recorded)
    assert third.snapshot.can_name_left
    assert third.left == [ANN]


def test_one_process_at_a_time_works_on_a_snapshot(tmp_path: Path) -> None:
    """The second must wait; other audiences are not concerned."""
    with closing(Snapshot(tmp_path, TERMS, [])):
        with pytest.raises(SnapshotInUseError, match="'buyers'"):
            Snapshot(tmp_path, TERMS, [])
        Snapshot(tmp_path, replace(TERMS, name=("others", "somewhere")), []).close()
    Snapshot(tmp_path, TERMS, []).close()


def test_a_folder_that_refuses_is_named(tmp_path: Path) -> None:
    """A full or broken disk ends the export before anything is published."""
    snapshot = Snapshot(tmp_path, TERMS, [])
    (tmp_path / next(tmp_path.glob("*.new")).with_suffix(".candidate").name).mkdir()
    with closing(snapshot), pytest.raises(SnapshotNotWrittenError, match="`snapshot_dir`"):
        snapshot.prepare()


IDENTIFIERS = st.lists(st.text(max_size=3), unique_by=str.lower, max_size=60)


@given(before=IDENTIFIERS, now=IDENTIFIERS, key=st.binary(min_size=32, max_size=32))
def test_the_index_is_a_table_of_contacts(before: list[str], now: list[str], key: bytes) -> None:
    """Against plain dictionaries: who is new, changed, the same, or gone, also from disk."""
    rows = {each: f"{len(each)}".encode() for each in now}
    old = ContactIndex(key)
    assert all(old.add(each.lower()) for each in before)
    old.changed_rows([b"1"] * len(before))
    index = ContactIndex(key)
    index.load(io.BytesIO(b"".join(old.present())))
    known = {each.lower() for each in before}

    for each in now:
        assert index.add(each.lower())
        assert not index.add(each.lower())
    changed = index.changed_rows([*rows.values()])
    assert changed == [
        row for each, row in rows.items() if each.lower() not in known or row != b"1"
    ]
    left = known - {each.lower() for each in now}
    assert (index.known, index.left) == (len(known), len(left))
    assert {each for each in known if has_left(index, each)} == left

    gone = ContactIndex(key)
    gone.load(io.BytesIO(b"".join(index.gone())))
    assert gone.known == len(left)
    # Who is gone was missing, so nobody of them waits once more.
    assert all(has_left(gone, each, first_waits=True) for each in left)


def has_left(index: ContactIndex, identifier: str, *, first_waits: bool = False) -> bool:
    """Whether the table lets a contact leave."""
    (has_left,) = index.have_left([identifier], first_waits=first_waits, forgets_rows=False)
    return bool(has_left)


def test_who_is_rejected_in_a_full_delivery_is_delivered_next(tmp_path: Path) -> None:
    """The row before belongs to another format, or perhaps to a file that was never there."""
    recorded = deliver(tmp_path, PEOPLE)
    second = Run(tmp_path, {ANN: b"Ann\n"}, recorded, format="other", rejected=[BOB])
    recorded = second.delivered()

    assert run(tmp_path, PEOPLE, recorded, format="other").written == [b"Bob\n"]
