"""Old files on the server: ours are removed by their exact names, and nothing else is."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from complete_settings import file_settings, server_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_server import Habits, odd_server
from server_runs import audience, run
from staged_server import PERMISSION_DENIED, Fault, staged_server
from target_runs import mark, records, schema

from target_mapp_sftp.contact_file import ContactFile, NamePattern
from target_mapp_sftp.contact_file.file_names import reserve_names
from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.errors import IncompleteStreamError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from servers import RunningServer

NOW = datetime.now(UTC)
DAY_SECONDS = 86_400


def pattern(title: str = "VIP", stream: str = "vip", **config: Any) -> NamePattern:
    """The names of the files of one audience."""
    return contact_names(title, stream, NOW, **config)[1]


def contact_names(title: str, stream: str, at: datetime, **config: Any) -> tuple[str, NamePattern]:
    """The name that a run gives the file of an audience, and the pattern of all its names."""
    with tempfile.TemporaryDirectory() as folder:
        file = ContactFile(
            file_settings(config),
            stream_name=stream,
            schema={"title": title},
            run_id="run-1",
            started_at=at,
            folder=Path(folder),
            rejects_folder=None,
        )
        (part,) = file.finish().parts
        file.discard()
    return part.name, file.name_pattern


def at(days: float) -> datetime:
    """A moment so many days ago."""
    return NOW - timedelta(days=days)


def name_of(days: float, audience: str = "VIP") -> str:
    """The default name of a file made so many days ago."""
    return f"export-lytics-{audience}-{at(days):%Y%m%dT%H%M%S}.csv"


def put(folder: Path, name: str, days: float) -> Path:
    """Put a file there that was written so many days ago."""
    path = folder / name
    path.write_text("x")
    os.utime(path, (time.time(), time.time() - days * DAY_SECONDS))
    return path


TEMPLATES = (
    "export-lytics-{audience_name}-{timestamp}.csv",
    "{stream_name}_{date}_{timestamp}.csv",
    "{date}{audience_name}{timestamp}-full.csv",
    "{audience_name}.{stream_name}.{timestamp}.csv",
    "x {audience_name} {timestamp}.csv",
)
FORMATS = ("%Y%m%dT%H%M%S", "%Y-%m-%d %H:%M:%S", "%d.%m.%y_%H%M%S", "%Y%j%H%M%S", "%Y%m%d")
MOMENTS = st.integers(946_684_800, 2_840_140_800).map(lambda s: datetime.fromtimestamp(s, UTC))
NAMES = st.text("abT019-_.ü ", min_size=1, max_size=12)


class TestNames:
    """Which names are of an audience, and of nothing else."""

    @settings(max_examples=100, deadline=None)
    @given(
        audience=st.tuples(NAMES, NAMES),
        moment=MOMENTS,
        config=st.fixed_dictionaries(
            {
                "file_name": st.sampled_from(TEMPLATES),
                "timestamp_format": st.sampled_from(FORMATS),
                "timezone": st.sampled_from(["UTC", "Europe/Berlin", "America/Lima"]),
            }
        ),
        parts=st.integers(1, 12),
    )
    def test_every_name_that_a_run_gives_shows_its_time(
        self, audience: tuple[str, str], moment: datetime, config: dict[str, str], parts: int
    ) -> None:
        """Also with the numbers of parts and of taken names."""
        name, names = contact_names(*audience, moment, **config)
        taken = {name.lower()} if parts % 2 else set()
        for each in reserve_names(name, parts, taken):
            *_, last = OutgoingFile(None, each, 0).final_names()  # type: ignore[arg-type]
            for given_name in (each, last):
                made = names.made_at(given_name)
                assert made is not None
                assert abs(made - moment) <= timedelta(
                    hours=25 if config["timestamp_format"] == "%Y%m%d" else 1
                )

    @settings(max_examples=100, deadline=None)
    @given(
        titles=st.tuples(NAMES, NAMES),
        moment=MOMENTS,
        form=st.sampled_from(FORMATS),
        parts=st.integers(1, 3),
    )
    def test_no_name_is_of_two_audiences(
        self, titles: tuple[str, str], moment: datetime, form: str, parts: int
    ) -> None:
        """But where both have the same name in all files."""
        config = {"timestamp_format": form}
        (name, names), (_, others) = (
            contact_names(title, "stream", moment, **config) for title in titles
        )
        if names.example == others.example:
            return
        for each in reserve_names(name, parts, {name.lower()}):
            assert others.made_at(each) is None

    @pytest.mark.parametrize(
        "name",
        [
            "export-lytics-VIP-20261123T083000.csv.part",
            ".export-lytics-VIP-20261123T083000.csv.run-1-12ab34cd.part",
            "export-lytics-VIP-20261123T083000.zip",
            "export-lytics-VIP-20261123T083000-copy.csv",
            "export-lytics-VIP-20261123T083000 (1).csv",
            "export-lytics-VIP-20261123T083000-20261123.csv",
            "export-lytics-VIP-20261323T083000.csv",
            "export-lytics-VIP-20261123T0830.csv",
            "export-lytics-VIP-.csv",
            "export-lytics-vip-20261123T083000.csv",
            "export-lytics-VIP-Berlin-20261123T083000.csv",
            "export-lytics-VIP-2-20261123T083000.csv",
            "xexport-lytics-VIP-20261123T083000.csv",
            "remove-lytics-VIP-20261123T083000.csv",
            "\u0665xport-lytics-VIP-20261123T083000.csv",
            "export-lytics-VIP-\u0662\u0660261123T083000.csv",
            "",
            ".",
        ],
    )
    def test_a_name_that_is_nearly_ours(self, name: str) -> None:
        """It is another program's, another audience's, or not finished."""
        assert pattern().made_at("export-lytics-VIP-20261123T083000.csv") is not None
        assert pattern().made_at(name) is None

    def test_a_timestamp_is_read_in_its_zone(self) -> None:
        """Of an hour that comes twice, the later one."""
        names = pattern(timezone="Europe/Berlin")
        berlin = ZoneInfo("Europe/Berlin")

        made = names.made_at("export-lytics-VIP-20261025T023000.csv")

        assert made == datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=1)
        assert made.astimezone(UTC).hour == 1

    def test_a_name_that_was_cut_is_not_ours(self) -> None:
        """Where nothing of the timestamp is left, nothing tells the age."""
        long = "x" * 100 + "{audience_name}" + "y" * 90 + "{timestamp}.csv"
        name, names = contact_names("VIP", "vip", NOW, file_name=long)

        assert names.made_at(name) is None


class TestSettings:
    """Names that do not tell their audience and their age without doubt are refused."""

    @pytest.mark.parametrize(
        ("config", "problem"),
        [
            ({"file_name": "contacts.csv"}, "needs `{audience_name}` or `{stream_name}`"),
            ({"file_name": "{timestamp}.csv"}, "needs `{audience_name}` or `{stream_name}`"),
            ({"file_name": "{audience_name}-{date}.csv"}, "and one `{timestamp}`"),
            ({"file_name": "{timestamp}-{audience_name}.csv"}, "audience before `{timestamp}`"),
            (
                {"file_name": "{audience_name}-{timestamp}-{stream_name}.csv"},
                "audience before `{timestamp}`",
            ),
            ({"file_name": "{audience_name}-{run_id}-{timestamp}.csv"}, "`{run_id}`"),
            ({"timestamp_format": "%H%M%S"}, "`timestamp_format`"),
            ({"timestamp_format": "%Y-%m"}, "`timestamp_format`"),
            ({"timestamp_format": "%d%b%A%Y%H%M%S"}, "`timestamp_format`"),
            ({"timestamp_format": "%s"}, "`timestamp_format`"),
        ],
    )
    def test_refused(self, config: dict[str, Any], problem: str) -> None:
        """One line names the setting and what it needs."""
        with pytest.raises(SettingsError) as caught:
            file_settings({"remove_after_days": 30, **config})

        (line,) = caught.value.details
        assert line.startswith("`remove_after_days`: ")
        assert problem in line

    def test_off_by_default(self) -> None:
        """Then any name will do."""
        assert (
            server_settings({"host": "h", "username": "u", "password": "p"}).remove_after_days == 0
        )
        file_settings({"file_name": "contacts.csv"})


class TestServers:
    """On real servers."""

    def test_only_old_files_of_the_audience_are_removed(
        self, server: RunningServer, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Never another's, never a young one, never a folder or a link."""
        old = [name_of(31), name_of(400), name_of(31).replace(".csv", "-2.csv")]
        for name in old:
            put(folder, name, 31)
        put(folder, name_of(31, "Others"), 400)
        put(folder, name_of(29), 400)
        # Somebody has written to it since.
        put(folder, name_of(50), 1)
        put(folder, f".{name_of(60)}.run-1-12ab34cd.part", 60)
        put(folder, f"{name_of(60)}.part", 60)
        put(folder, "other.csv", 400)
        (folder / name_of(70)).mkdir()
        (folder / name_of(80)).symlink_to(folder / "other.csv")
        kept_by_name = put(folder, name_of(90), 90).name
        before = {path.name for path in folder.iterdir()}

        with caplog.at_level(logging.INFO):
            remove_old(server.config(folder=str(folder)), kept=[kept_by_name])

        assert before - {path.name for path in folder.iterdir()} == {*old}
        (line,) = [r.getMessage() for r in caplog.records if "older than" in r.getMessage()]
        assert line.startswith("Removed files that are older than 30 days: ")
        assert all(name in line for name in old)

    def test_a_run_removes_after_its_delivery(
        self, openssh: RunningServer, folder: Path, tmp_path: Path
    ) -> None:
        """The file of the run is there, the old one is gone."""
        old = put(folder, name_of(40), 40)
        config = openssh.config(folder=str(folder), remove_after_days=30)

        states = run(tmp_path, [mark("pending"), *audience("buyers", "VIP")], **config)

        (file,) = states[-1]["bookmarks"]["buyers"]["delivered"]["files"]
        assert [path.name for path in folder.iterdir()] == [file]
        assert not old.exists()

    def test_nothing_is_removed_when_nothing_was_delivered(
        self, openssh: RunningServer, folder: Path, tmp_path: Path
    ) -> None:
        """An incomplete audience, and one that is empty and skipped."""
        old = put(folder, name_of(40), 40)
        config = openssh.config(folder=str(folder), remove_after_days=30)
        incomplete = [mark("pending"), schema(title="VIP"), mark("running"), *records(3)]
        with pytest.raises(IncompleteStreamError):
            run(tmp_path, incomplete, **config)
        empty = [mark("pending"), schema(title="VIP"), mark("running"), mark("complete")]
        run(tmp_path, empty, empty_audience="skip", **config)

        assert old.exists()

    def test_audiences_of_one_name_keep_all(
        self,
        openssh: RunningServer,
        folder: Path,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Nobody can tell whose the old files are."""
        old = put(folder, name_of(40), 40)
        config = openssh.config(folder=str(folder), remove_after_days=30)
        delivered = {"delivered": {"files": [name_of(1)], "rows": 3}}
        other = {"type": "STATE", "value": {"bookmarks": {"other_vip": delivered}}}

        run(tmp_path, [other, *audience("buyers", "VIP")], **config)

        assert old.exists()
        assert "another stream has files of such names" in caplog.text

    def test_two_audiences_of_one_name_in_a_run_keep_all(
        self, openssh: RunningServer, folder: Path, tmp_path: Path
    ) -> None:
        """Whichever of them was delivered first."""
        old = put(folder, name_of(40), 40)
        config = openssh.config(folder=str(folder), remove_after_days=30)

        run(tmp_path, [*audience("buyers", "VIP"), *audience("others", "VIP")], **config)

        assert old.exists()
        assert len(list(folder.iterdir())) == 3

    def test_the_folder_is_listed_once_for_all_audiences(
        self, folder: Path, tmp_path: Path
    ) -> None:
        """However many they are."""
        names = [name_of(40, audience) for audience in ("A", "B", "C")]
        for name in names:
            put(folder, name, 40)
        streams = [each for name in "ABC" for each in audience(f"stream_{name}", name)]
        with staged_server(folder) as server:
            run(tmp_path, streams, **server.config(remove_after_days=30))

        assert server.asked.count("list") == 1
        assert not {*names} & {path.name for path in folder.iterdir()}
        assert len(list(folder.iterdir())) == 3


class TestFailures:
    """What was delivered stays delivered; a failure is a warning."""

    @pytest.mark.parametrize(
        ("fault", "warning"),
        [
            (Fault("remove", code=PERMISSION_DENIED), "not allowed to remove export-lytics-VIP"),
            (Fault("list", code=PERMISSION_DENIED), "the server lists no files"),
            (Fault("remove", "hang up"), "not all old files were removed: The connection"),
            (Fault("list", "hang up"), "not all old files were removed: The connection"),
        ],
    )
    def test_a_failure_is_a_warning(
        self, folder: Path, caplog: pytest.LogCaptureFixture, fault: Fault, warning: str
    ) -> None:
        """Whatever the server says to the list or to a removal."""
        put(folder, name_of(40), 40)
        with staged_server(folder, [fault]) as server:
            remove_old(server.config())

        assert f"`remove_after_days`: {warning}" in caplog.text

    def test_one_that_is_refused_holds_up_no_other(self, folder: Path) -> None:
        """The others are removed."""
        for days in (40, 41, 42):
            put(folder, name_of(days), days)
        with staged_server(folder, [Fault("remove", code=PERMISSION_DENIED, at=1)]) as server:
            remove_old(server.config())

        assert len(list(folder.iterdir())) == 1

    def test_a_list_without_end_ends(self, folder: Path) -> None:
        """It is looked through for a while, and no longer."""
        with odd_server(folder, Habits(look="endless")) as server:
            remove_old(server.config(transfer_timeout=0.3))


def remove_old(config: dict[str, Any], kept: Iterable[str] = ()) -> None:
    """Remove what is older than 30 days."""
    server = server_settings({**config, "remove_after_days": 30})
    SftpDestination(server, run_id="run7", first_wait_seconds=0).remove_old(
        pattern().made_at, tuple(kept)
    )
