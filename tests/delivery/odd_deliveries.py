"""Random deliveries to odd servers over bad lines: is what is said of them what has happened?

`python tests/delivery/odd_deliveries.py 250` makes that many, each by its seed, and counts.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from odd_server import TEMPORARY, Habits, fetched, odd_server
from staged_server import NO_SUCH_FILE, PERMISSION_DENIED, Fault
from typing_extensions import override

from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.errors import DeliveryError

# For a run without pytest.
sys.path.insert(0, str(Path(__file__).parents[1] / "target"))

from complete_settings import server_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Kind = Literal[
    "delivered", "failed needlessly", "failed, nothing there", "failed, and told", "stopped"
]
_STRANGERS = b"somebody else's"
_OPERATIONS = ("stat", "open", "write", "close", "lstat", "rename", "remove", "list")


class WrongError(Exception):
    """What is said of a delivery is not what has happened."""


@dataclass(slots=True)
class Delivery:
    """One delivery to one server.

    Attributes:
        settings: Of the target.
        sizes_bytes: Of the files.
        habits: Of the server.
        faults: Of the line.
        taken: Whether a file of the first name is there before.
        stops: Whether a signal comes when the last file is sent.
    """

    settings: dict[str, Any]
    sizes_bytes: list[int]
    habits: Habits
    faults: Sequence[object]
    taken: bool = False
    stops: bool = False
    contents: list[bytes] = field(default_factory=list)

    @property
    def must_succeed(self) -> bool:
        """Whether retries and waiting overcome all of its faults."""
        habits, settings = self.habits, self.settings
        is_in_place = settings["publish"] == "in_place"
        is_fixed = settings["file_name"] == "fixed.csv"
        obstacles = (
            self.stops,
            len(self.faults) + bool(habits.closes_in) > settings["max_retries"],
            self.taken and settings["name_taken"] == "fail",
            habits.stranger and settings["name_taken"] == "fail",
            habits.rename in ("after linking", "nothing done", "forbidden") and not is_in_place,
            habits.refused_renames and not is_in_place,
            habits.fetches and (self.faults or habits.fetches not in ("", "rename") or is_in_place),
            habits.look in ("nothing", "endless") and (is_fixed or habits.closes_in),
            is_in_place and self.faults and settings["name_taken"] == "fail",
            habits.size and settings["size_check"] == "strict",
            habits.dots and not is_in_place and settings["temporary_name"].startswith("."),
            habits.forgets and (self.faults or habits.closes_in),
        )
        return not any(obstacles)


def drawn(seed: int) -> Delivery:
    """A delivery drawn by chance."""
    random = Random(seed)  # noqa: S311 - repeatable chance
    is_in_place = random.random() < 0.3
    habits = _drawn_habits(random, is_in_place=is_in_place)
    sizes = [random.choice((1, 900, 40_000, 200_000)) for _ in range(random.choice((1, 1, 2, 4)))]
    settings = {
        "publish": "in_place" if is_in_place else "rename",
        "max_retries": random.choice((0, 1, 3, 5)),
        "name_taken": random.choice(("new_name", "new_name", "new_name", "fail")),
        "file_name": random.choice(("{timestamp}.csv", "{timestamp}.csv", "fixed.csv")),
        "size_check": random.choice(("strict", "strict", "off")) if habits.size else "strict",
        "temporary_name": ".{name}.{run_id}.part",
        "transfer_timeout": 0.3,
    }
    if habits.dots and random.random() < 0.5:
        settings["temporary_name"] = "{name}.{run_id}.part"
    return Delivery(
        settings,
        sizes,
        habits,
        _drawn_faults(random),
        # Who may not look is not told of a taken name, and some servers replace what has it.
        taken=random.random() < 0.2
        and not (habits.look == "nothing" and habits.rename == "replaces"),
        stops=random.random() < 0.08,
    )


def _drawn_habits(random: Random, *, is_in_place: bool) -> Habits:
    choices: list[tuple[str, tuple[Any, ...]]] = [
        (
            "rename",
            ("replaces", "fails after", "after linking", "nothing done", "forbidden", "late"),
        ),
        ("refused_renames", ((2,), (2, 3, 4, 5, 6, 7, 8, 9))),
        ("fetches", ("rename", "close", "close of any", "at once")),
        ("look", ("no stat", "nothing", "endless", "not list hidden")),
        ("late_looks", (1, 3)),
        ("size", (2,)),
        ("dots", (PERMISSION_DENIED, NO_SUCH_FILE)),
        ("remove", ("forbidden", "fails after")),
        ("closes_in", (0.5,)),
        ("forgets", (True,)),
        ("overwrites", (True,)),
        ("stranger", ("open", "rename", "close", "write")),
    ]
    habits = Habits()
    for name, values in random.sample(choices, random.choice((0, 1, 1, 2, 3))):
        value = random.choice(values)
        if name == "stranger":
            bytes_ = random.choice((b"", _STRANGERS))
            value = (value, random.choice((1, 2, 3)), "export-0.csv", bytes_)
        setattr(habits, name, value)
    _leave_out_what_cannot_be_known(habits, is_in_place=is_in_place)
    return habits


def _leave_out_what_cannot_be_known(habits: Habits, *, is_in_place: bool) -> None:
    """What no client can notice, and the documents say so."""
    replaces = habits.rename == "replaces" or habits.overwrites
    if replaces and habits.stranger:
        # Between the look and the act.
        habits.stranger = None
    if habits.rename == "after linking" and habits.fetches:
        # What is linked and fetched looks like what was never linked.
        habits.rename = ""
    if habits.look in ("nothing", "endless") and habits.rename == "nothing done":
        # Nobody may see that the answer is wrong.
        habits.rename = ""
    if habits.look in ("nothing", "endless") and habits.overwrites and is_in_place:
        habits.overwrites = False


def _drawn_faults(random: Random) -> list[Fault]:
    effects: tuple[Any, ...] = ("hang up", "lose", "lose", "fall silent")
    return [
        Fault(random.choice(_OPERATIONS), random.choice(effects), at=random.choice((1, 2, 3, 5)))
        for _ in range(random.choice((0, 0, 1, 1, 2, 4)))
    ]


def spooled(delivery: Delivery, room: Path) -> list[OutgoingFile]:
    """Make the files of a delivery, of random bytes."""
    chance = Random(str(delivery))  # noqa: S311 - repeatable chance
    files = []
    for number, size in enumerate(delivery.sizes_bytes):
        path = room / f"spooled {number}"
        path.write_bytes(chance.randbytes(size))
        delivery.contents.append(path.read_bytes())
        files.append(OutgoingFile(path, f"export-{number}.csv", size))
    return files


def deliver(delivery: Delivery, room: Path) -> Kind:
    """Make a delivery and compare what is said with what has happened.

    Raises:
        WrongError: When that is not the same.
    """
    folder = room / "folder"
    folder.mkdir()
    files = spooled(delivery, room)
    if delivery.taken:
        (folder / files[0].name).write_bytes(_STRANGERS)
    stopping = _stopped_at(files[-1].name) if delivery.stops else nullcontext()
    with odd_server(folder, delivery.habits, delivery.faults) as server, stopping:
        settings = server_settings(server.config(**delivery.settings))
        target = SftpDestination(settings, run_id="run/7", first_wait_seconds=0)
        try:
            target.preflight()
            outcome: tuple[str, ...] | DeliveryError | None = target.publish(files)
        except DeliveryError as error:
            outcome = error
        except SystemExit:
            outcome = None
    # What the server has begun, and what is its own way of being late, is over by now.
    return judge(delivery, folder, outcome)


class _Stop(logging.Handler):
    """Raises at the log line of a file's upload, as a signal does."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._text = f"Upload of {name}"

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self._text):
            raise SystemExit(143)


@contextmanager
def _stopped_at(name: str) -> Iterator[None]:
    logger = logging.getLogger("target-mapp-sftp")
    handler, level = _Stop(name), logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def judge(
    delivery: Delivery, folder: Path, outcome: tuple[str, ...] | DeliveryError | None
) -> Kind:
    """Compare what is said of a delivery with what has happened.

    Raises:
        WrongError: When that is not the same.
    """
    present = {path.name: path.read_bytes() for path in folder.iterdir()}
    visible = {name: data for name, data in present.items() if not TEMPORARY.search(name)}
    taken_away = fetched(folder)
    _see_strangers_unharmed(delivery, visible, taken_away)
    everywhere = [*visible.values(), *(data for _, data in taken_away)]
    for number, content in enumerate(delivery.contents):
        if len(content) > 1 and everywhere.count(content) > 1:
            raise WrongError(f"part {number} is there {everywhere.count(content)} times")
    if isinstance(outcome, tuple):
        _see_delivered(delivery, outcome, visible, taken_away)
        _see_nothing_hidden(delivery, present)
        return "delivered"
    told = _see_told(delivery, outcome, visible, taken_away)
    if delivery.must_succeed:
        return "failed needlessly"
    return "stopped" if outcome is None else "failed, and told" if told else "failed, nothing there"


def _see_strangers_unharmed(
    delivery: Delivery, visible: dict[str, bytes], taken_away: list[tuple[str, bytes]]
) -> None:
    everywhere = [*visible.items(), *taken_away]
    if delivery.taken and ("export-0.csv", _STRANGERS) not in everywhere:
        raise WrongError("the file that was there before is gone")


def _see_delivered(
    delivery: Delivery,
    names: tuple[str, ...],
    visible: dict[str, bytes],
    taken_away: list[tuple[str, bytes]],
) -> None:
    for name, content in zip(names, delivery.contents, strict=True):
        if visible.get(name) != content and (name, content) not in taken_away:
            raise WrongError(f"{name} is said to be delivered, and is nowhere")
    known = {*names, "export-0.csv"}
    if odd := {name for name, data in visible.items() if data and name not in known}:
        raise WrongError(f"{odd} is there besides")


def _see_nothing_hidden(delivery: Delivery, present: dict[str, bytes]) -> None:
    if delivery.habits.remove != "forbidden":
        hidden = [name for name in present if TEMPORARY.search(name)]
        if hidden:
            raise WrongError(f"{hidden} is left")


def _see_told(
    delivery: Delivery,
    outcome: DeliveryError | None,
    visible: dict[str, bytes],
    taken_away: list[tuple[str, bytes]],
) -> bool:
    """Whether something of a failed delivery is with the reader; it must be said."""
    if outcome is None:
        return True
    whole = set(delivery.contents)
    left = {name for name, data in visible.items() if data in whole or _is_begun(delivery, data)}
    gone = {name for name, data in taken_away if data in whole and not TEMPORARY.search(name)}
    doubt = set(outcome.in_doubt)
    whole_left = {name for name in left if visible[name] in whole}
    if untold := whole_left - {*outcome.left_in_folder} - doubt:
        raise WrongError(f"{untold} is in the folder, and {outcome!r} does not say it")
    begun = {name for name, data in visible.items() if not data and name != _made_by(delivery)}
    if untold := {name for name in left | begun if name not in str(outcome.details)}:
        raise WrongError(f"{untold} is begun, and {outcome.details} does not say it")
    if untold := gone - {*outcome.fetched} - doubt:
        raise WrongError(f"{untold} is fetched, and {outcome!r} does not say it")
    if not_there := {*outcome.left_in_folder} - visible.keys() - gone:
        raise WrongError(f"{not_there} is said to be in the folder")
    if not_gone := {*outcome.fetched} - {name for name, _ in taken_away}:
        raise WrongError(f"{not_gone} is said to be fetched")
    names = (*outcome.left_in_folder, *outcome.fetched, *outcome.in_doubt)
    if any(name not in str(outcome) for name in names):
        raise WrongError(f"{outcome!r} does not name {names}")
    return bool(left or gone or names)


def _made_by(delivery: Delivery) -> str:
    """The name of a file that somebody else may have made."""
    return delivery.habits.stranger[2] if delivery.habits.stranger else ""


def _is_begun(delivery: Delivery, data: bytes) -> bool:
    return bool(data) and any(content.startswith(data) for content in delivery.contents)


def campaign(draw: Callable[[int], Delivery], deliver: Callable[[Delivery, Path], Kind]) -> int:
    """Make deliveries by their seeds and count what they come to: `COUNT [FIRST_SEED]`.

    Returns:
        An exit code.
    """
    first, count = (int(sys.argv[2]) if len(sys.argv) > 2 else 0), int(sys.argv[1])
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    kinds: Counter[str] = Counter()
    for seed in range(first, first + count):
        delivery = draw(seed)
        with tempfile.TemporaryDirectory() as room:
            try:
                kind = deliver(delivery, Path(room))
                kinds[kind] += 1
                if kind == "failed needlessly":
                    sys.stdout.write(f"seed {seed}: {kind}\n  {_shown(delivery)}\n")
            except Exception as error:  # noqa: BLE001 - a campaign goes on
                kinds["wrong"] += 1
                sys.stdout.write(f"seed {seed}: {error!r}\n  {_shown(delivery)}\n")
    sys.stdout.write(f"{count} deliveries from seed {first}: {dict(kinds)}\n")
    return bool(kinds["wrong"])


def _shown(delivery: Delivery) -> str:
    faults = [
        f"{fault.operation} {fault.at} {fault.effect}" if isinstance(fault, Fault) else str(fault)
        for fault in delivery.faults
    ]
    return f"{delivery.settings} {delivery.sizes_bytes} {delivery.habits} {faults} {delivery.taken}"


if __name__ == "__main__":
    sys.exit(campaign(drawn, deliver))
