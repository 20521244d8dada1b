"""Servers of odd habits: what is said of a delivery is what has happened to it."""

from __future__ import annotations

import logging
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import server_settings
from odd_deliveries import deliver, drawn
from odd_server import Habits, fetched, odd_server
from proxy import Fault as LineFault
from proxy import proxy
from servers import openssh_server
from staged_server import NO_SUCH_FILE, PERMISSION_DENIED, Fault, StagedServer, staged_server

from target_mapp_sftp.delivery import OutgoingFile
from target_mapp_sftp.delivery.check import check_server
from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.delivery.errors import (
    NameTakenError,
    OutcomeUnknownError,
    RenameRefusedError,
    SizeMismatchError,
    UnsafeNameError,
    WriteRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import RunningServer

    MakeFile = Callable[..., OutgoingFile]

# A session of the odd server that is given up leaves its open files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def destination(server: StagedServer, **others: Any) -> SftpDestination:
    """Deliver to *server* without waiting between tries."""
    settings = server_settings(server.config(**others))
    return SftpDestination(settings, run_id="run7", first_wait_seconds=0)


def names(folder: Path) -> list[str]:
    """Everything in the folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


class TestFetched:
    """Somebody takes files away while they are published."""

    def test_the_error_names_what_was_fetched_before_the_failure(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """In the message, in the details and as a fact, for the first part is with Mapp."""
        files = [outgoing(f"export-{number}.csv") for number in (1, 2, 3)]
        habits = Habits(fetches="rename", refused_renames=(2,))
        with odd_server(folder, habits) as server, pytest.raises(RenameRefusedError) as caught:
            destination(server).publish(files)

        error = caught.value
        assert (error.fetched, error.left_in_folder, error.in_doubt) == (("export-1.csv",), (), ())
        assert "most probably fetched: export-1.csv." in str(error)
        assert "export-1.csv was published and is no longer in the folder" in error.details[0]
        assert names(folder) == []

    def test_the_log_names_what_was_removed_again(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        """For a moment it was there, and somebody may have seen it."""
        files = [outgoing(f"export-{number}.csv") for number in (1, 2)]
        with (
            odd_server(folder, Habits(refused_renames=(2,))) as server,
            pytest.raises(RenameRefusedError) as caught,
        ):
            destination(server).publish(files)

        assert "export-1.csv was published, and was removed again" in caplog.text
        assert (caught.value.fetched, caught.value.left_in_folder) == ((), ())

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    def test_a_file_fetched_as_soon_as_it_is_whole_is_delivered(
        self, folder: Path, outgoing: MakeFile, publish: str
    ) -> None:
        """Once; it was seen whole under its final name, or its rename was answered."""
        file = outgoing()
        with odd_server(folder, Habits(fetches="close")) as server:
            assert destination(server, publish=publish).publish([file]) == (file.name,)

        assert fetched(folder) == [(file.name, file.path.read_bytes())]

    @pytest.mark.parametrize(
        ("publish", "fetches"), [("rename", "close of any"), ("in_place", "at once")]
    )
    def test_what_was_taken_and_is_gone_is_never_sent_again(
        self, folder: Path, outgoing: MakeFile, publish: str, fetches: Any
    ) -> None:
        """Where nobody can tell whether all of it was fetched, a person must look."""
        file = outgoing()
        with odd_server(folder, Habits(fetches=fetches)) as server:
            with pytest.raises(OutcomeUnknownError, match="most probably it was fet") as error:
                destination(server, publish=publish).publish([file])

            assert server.asked.count("open") == 1
        assert error.value.in_doubt == (file.name,)
        assert error.value.exit_code == 5
        assert len(fetched(folder)) == 1

    def test_a_stopped_run_says_what_was_fetched(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A signal has no error to say it with; the log does."""

        def stop() -> None:
            raise SystemExit(143)

        with odd_server(folder, Habits(fetches="rename")) as server, pytest.raises(SystemExit):
            destination(server).publish([outgoing()], stop)

        assert "export-lytics-a.csv was published and is no longer in the folder" in caplog.text


class TestRenames:
    """A rename's answer and what has become of it differ."""

    def test_one_that_was_refused_and_is_done(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The file is there, so it is delivered."""
        file = outgoing()
        with odd_server(folder, Habits(rename="fails after")) as server:
            assert destination(server).publish([file]) == (file.name,)

        assert "refused the rename to export-lytics-a.csv, and has done it" in caplog.text
        assert names(folder) == [file.name]

    def test_one_that_was_refused_and_is_done_and_fetched(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """Neither name is there: nobody can tell."""
        habits = Habits(rename="fails after", fetches="rename")
        with (
            odd_server(folder, habits) as server,
            pytest.raises(OutcomeUnknownError, match='was "The hook failed"'),
        ):
            destination(server).publish([outgoing()])

        assert len(fetched(folder)) == 1

    @pytest.mark.parametrize("effect", ["hang up", "lose"])
    def test_one_that_left_both_names_and_broke_when_one_was_removed(
        self, folder: Path, outgoing: MakeFile, effect: Any
    ) -> None:
        """The file has its name already, and is not published under another one as well."""
        file = outgoing()
        fault = Fault("remove", effect, at=1)
        with odd_server(folder, Habits(rename="after linking"), [fault]) as server:
            assert destination(server).publish([file]) == (file.name,)

        assert names(folder) == [file.name]

    def test_one_that_is_answered_and_not_done(self, folder: Path, outgoing: MakeFile) -> None:
        """It is noticed, and nothing hidden stays."""
        with (
            odd_server(folder, Habits(rename="nothing done")) as server,
            pytest.raises(RenameRefusedError, match="has not renamed it"),
        ):
            destination(server).publish([outgoing()])

        assert names(folder) == []

    def test_one_that_links_and_fails(self, folder: Path, outgoing: MakeFile) -> None:
        """Both names are the one file: it is published, and the other name goes."""
        file = outgoing()
        with odd_server(folder, Habits(rename="after linking")) as server:
            assert destination(server).publish([file]) == (file.name,)

        assert names(folder) == [file.name]

    def test_a_former_file_of_the_same_size_is_no_rename(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """Yesterday's export is as large as today's; a refused rename was still refused."""
        file = outgoing()
        former = folder / file.name

        def take() -> None:
            former.write_bytes(bytes(file.size_bytes))
            os.utime(former, (1_700_000_000, 1_700_000_000))

        with staged_server(folder, [Fault("rename", at=1, first=take)]) as server:
            assert destination(server).publish([file]) == ("export-lytics-a_2.csv",)

        assert former.read_bytes() == bytes(file.size_bytes)

    def test_one_done_by_a_session_that_was_given_up(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """It happens after the connection broke, once."""
        file = outgoing()
        with odd_server(folder, Habits(rename="late")) as server:
            assert destination(server).publish([file]) == (file.name,)

        assert names(folder) == [file.name]


class TestBlind:
    """Nobody may look into the folder."""

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    @pytest.mark.parametrize(
        "file_name", ["contacts.csv", "{stream_name}-{date}.csv", "{timestamp}.csv"]
    )
    def test_a_name_that_can_come_again_is_refused(
        self, folder: Path, outgoing: MakeFile, publish: str, file_name: str
    ) -> None:
        """Before anything is read, and again before anything is sent."""
        own = {"publish": publish, "file_name": file_name, "timestamp_format": "%Y%m%d"}
        with odd_server(folder, Habits(look="nothing")) as server:
            target = destination(server, **own)
            with pytest.raises(UnsafeNameError, match=r"^`file_name`: .*Put \{timestamp\}"):
                target.preflight()
            with pytest.raises(UnsafeNameError):
                target.publish([outgoing()])
            steps = list(check_server(server_settings(server.config(**own)), run_id="7"))

            assert "write" not in server.asked
        assert (steps[-1].name, steps[-1].ok) == ("folder", False)
        assert names(folder) == []

    @pytest.mark.parametrize("file_name", ["{timestamp}.csv", "{date}-{run_id}.csv"])
    def test_a_name_that_comes_once_is_delivered(
        self, folder: Path, outgoing: MakeFile, file_name: str
    ) -> None:
        """As the defaults are."""
        with odd_server(folder, Habits(look="nothing")) as server:
            target = destination(server, file_name=file_name)
            target.preflight()
            target.publish([outgoing()])

        assert names(folder) == ["export-lytics-a.csv"]

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    def test_a_taken_name_gets_another_on_openssh(
        self, folder: Path, outgoing: MakeFile, publish: str
    ) -> None:
        """It refuses what is taken, so the next name is tried."""
        file = outgoing()
        (folder / file.name).write_text("somebody else's")
        denied = "internal-sftp -P stat,lstat,fstat,opendir,readdir"
        with openssh_server(folder, sftp=denied) as server:
            settings = server_settings(server.config(folder=str(folder), publish=publish))
            target = SftpDestination(settings, run_id="run7", first_wait_seconds=0)
            assert target.publish([file]) == ("export-lytics-a_2.csv",)

        assert (folder / file.name).read_text() == "somebody else's"
        assert names(folder) == ["export-lytics-a.csv", "export-lytics-a_2.csv"]

    def test_a_server_that_never_renames_is_an_error(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """After a few names, not after a hundred."""
        habits = Habits(look="nothing", rename="forbidden")
        with odd_server(folder, habits) as server:
            with pytest.raises(NameTakenError, match="set publish to in_place"):
                destination(server).publish([outgoing()])

            assert "rename" not in server.asked
        assert names(folder) == []

    def test_a_list_without_end_is_left(self, folder: Path, outgoing: MakeFile) -> None:
        """It counts as not looking, after as long as a silence may last."""
        with odd_server(folder, Habits(look="endless")) as server:
            destination(server, transfer_timeout=0.3).publish([outgoing()])

        assert names(folder) == ["export-lytics-a.csv"]

    def test_a_list_that_leaves_hidden_files_out(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is not listed is not lost."""
        with odd_server(folder, Habits(look="not list hidden")) as server:
            destination(server).publish([outgoing()])

        assert names(folder) == ["export-lytics-a.csv"]
        assert "does not show the sizes" in caplog.text

    def test_a_listed_name_in_another_encoding(self, folder: Path, outgoing: MakeFile) -> None:
        """Somebody else's file may be called anything."""
        with open(os.fsencode(folder) + b"/caf\xe9.csv", "xb"):  # noqa: PTH123 - a Path is text
            pass
        with staged_server(folder, [Fault("lstat", code=PERMISSION_DENIED)]) as server:
            destination(server).publish([outgoing()])

        assert len(names(folder)) == 2


class TestHabits:
    """What else servers do."""

    @pytest.mark.parametrize("code", [PERMISSION_DENIED, NO_SUCH_FILE])
    def test_a_server_without_dots_is_helped_by_a_setting(
        self, folder: Path, outgoing: MakeFile, code: int
    ) -> None:
        """The refusal names it, in a run and in the check, and it helps both."""
        own = {"temporary_name": "{name}.{run_id}.part"}
        with odd_server(folder, Habits(dots=code)) as server:
            with pytest.raises(WriteRefusedError, match="set temporary_name"):
                destination(server).publish([outgoing()])
            steps = list(check_server(server_settings(server.config()), run_id="r"))
            mended = list(check_server(server_settings(server.config(**own)), run_id="r"))
            destination(server, **own).publish([outgoing()])

        assert "set temporary_name" in steps[-1].advice
        assert all(step.ok for step in mended)
        assert names(folder) == ["export-lytics-a.csv"]

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    def test_a_server_that_changes_sizes(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture, publish: str
    ) -> None:
        """Twice is enough to know; with size_check off it is put up with, and said."""
        file = outgoing()
        with odd_server(folder, Habits(size=2)) as server:
            with pytest.raises(SizeMismatchError, match=r"twice.*set size_check to off"):
                destination(server, publish=publish).publish([file])
            assert server.asked.count("open") == 2
            assert names(folder) == []
            destination(server, publish=publish, size_check="off").publish([file])

        assert (folder / file.name).read_bytes() == file.path.read_bytes()
        assert "size_check is off" in caplog.text

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    @pytest.mark.parametrize("look", ["all", "not list hidden"])
    def test_a_slow_close_is_waited_for(
        self, folder: Path, outgoing: MakeFile, publish: str, look: Any
    ) -> None:
        """All bytes are acknowledged, so nothing is sent again."""
        file = outgoing()
        with odd_server(folder, Habits(closes_in=0.6, look=look)) as server:
            destination(server, publish=publish, transfer_timeout=0.3, max_retries=2).publish(
                [file]
            )

            # Where no size is told, it is not trusted that what was acknowledged is there.
            assert server.asked.count("write") == (
                8 if look != "all" and publish == "rename" else 4
            )
        assert names(folder) == [file.name]

    def test_a_server_that_shows_late_what_it_has(self, folder: Path, outgoing: MakeFile) -> None:
        """Not seen at once is not lost."""
        with odd_server(folder, Habits(late_looks=3)) as server:
            destination(server).publish([outgoing()])

            assert server.asked.count("open") == 1
        assert names(folder) == ["export-lytics-a.csv"]

    def test_an_unfinished_file_that_is_thrown_away_is_sent_again(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """Under a name that nobody else knows it was not fetched."""
        file = outgoing(size_bytes=32_000 * 4)
        faults = [Fault("write", "hang up", at=3)]
        with odd_server(folder, Habits(forgets=True), faults) as server:
            destination(server).publish([file])

        assert names(folder) == [file.name]

    @pytest.mark.parametrize("content", [b"", b"somebody else's"])
    def test_in_place_never_writes_into_what_it_is_not_sure_to_have_made(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        """The answer to making it was lost, and meanwhile somebody made one of the same name."""
        file = outgoing()

        def make() -> None:
            (folder / file.name).write_bytes(content)

        faults = [Fault("open", "hang up", at=1, first=make)]
        with staged_server(folder, faults) as server:
            published = destination(server, publish="in_place").publish([file])

        assert published == ("export-lytics-a_2.csv",)
        assert (folder / file.name).read_bytes() == content
        assert "export-lytics-a.csv may be an unfinished file of this run" in caplog.text

    def test_a_former_file_is_not_removed_for_ours(self, folder: Path, outgoing: MakeFile) -> None:
        """The first part is fetched and another file has its name, when it is to be taken back."""
        files = [outgoing("export-1.csv"), outgoing("export-2.csv")]

        def replace() -> None:
            (folder / "export-1.csv").unlink()
            (folder / "export-1.csv").write_text("somebody else's")

        faults = [Fault("rename", at=2, first=replace)]
        with staged_server(folder, faults) as server, pytest.raises(RenameRefusedError) as caught:
            destination(server).publish(files)

        assert names(folder) == ["export-1.csv"]
        assert (folder / "export-1.csv").read_text() == "somebody else's"
        assert caught.value.in_doubt == ("export-1.csv",)

    @pytest.mark.parametrize("run_id", ["2026-11-25/1", "x/../../../evil", "\0", "ä" * 300, ".."])
    def test_a_run_may_be_called_anything(
        self, folder: Path, outgoing: MakeFile, run_id: str
    ) -> None:
        """What another tap calls its run makes no path."""
        with staged_server(folder) as server:
            settings = server_settings(server.config())
            SftpDestination(settings, run_id=run_id).publish([outgoing("a" * 200 + ".csv", 10)])

        assert names(folder) == ["a" * 200 + ".csv"]
        assert names(folder.parent) == sorted({"folder", f"spooled {'a' * 200}.csv"})


class TestConnections:
    """Reconnects, and connections that are kept."""

    def test_a_connection_that_breaks_after_each_progress_delivers(
        self, openssh: RunningServer, folder: Path, tmp_path: Path
    ) -> None:
        """Far more reconnects than max_retries, and little is sent twice."""
        size = 6_000_000
        (tmp_path / "big").write_bytes(os.urandom(size))
        file = OutgoingFile(tmp_path / "big", "export-1.csv", size)
        cuts = [LineFault("cut", "up", 1_000_000) for _ in range(30)]
        with proxy(openssh.port, cuts) as line:
            config = openssh.config(port=line.port, folder=str(folder), max_retries=1)
            settings = server_settings(config)
            SftpDestination(settings, run_id="r", first_wait_seconds=0).publish([file])
            passed = sum(connection["up"] for connection in line.passed)

        assert (folder / file.name).read_bytes() == file.path.read_bytes()
        assert len(line.passed) > 3
        assert passed < 2.5 * size

    def test_parts_that_get_finished_are_progress(self, folder: Path, outgoing: MakeFile) -> None:
        """Each connection finishes one and breaks."""
        files = [outgoing(f"export-{number}.csv", 10) for number in range(5)]
        faults = [Fault("open", "hang up", at=number) for number in range(2, 12, 2)]
        with staged_server(folder, faults) as server:
            destination(server, max_retries=1).publish(files)

        assert names(folder) == [file.name for file in files]

    def test_a_kept_connection_is_used_again(self, folder: Path, outgoing: MakeFile) -> None:
        """Several publications, one login; it ends when it is told to, or after a while."""
        with staged_server(folder) as server:
            settings = server_settings(server.config())
            target = SftpDestination(settings, run_id="run7", keep_seconds=60)
            target.preflight()
            for number in range(3):
                target.publish([outgoing(f"export-{number}.csv", 10)])
            assert len(server.logins) == 1
            target.close()
            target.publish([outgoing("export-3.csv", 10)])
            assert len(server.logins) == 2
            target.close()

        assert len(names(folder)) == 4

    def test_a_kept_connection_that_is_gone_is_no_failure(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """With no reconnect allowed, the next publication has a connection of its own."""
        with staged_server(folder, [Fault("stat", "hang up", at=2)]) as server:
            settings = server_settings(server.config(max_retries=0))
            target = SftpDestination(settings, run_id="run7", keep_seconds=60)
            target.preflight()
            target.publish([outgoing("export-0.csv", 10)])
            assert len(server.logins) == 2
            target.close()

        assert names(folder) == ["export-0.csv"]

    def test_an_idle_connection_is_ended(self, folder: Path, outgoing: MakeFile) -> None:
        """Hours may lie between two publications."""
        with staged_server(folder) as server:
            settings = server_settings(server.config())
            target = SftpDestination(settings, run_id="run7", keep_seconds=0.01)
            target.publish([outgoing("export-0.csv", 10)])
            while target._kept is not None:
                pass
            target.publish([outgoing("export-1.csv", 10)])
            target.close()

            assert len(server.logins) == 2


@pytest.mark.parametrize("seed", range(30))
def test_a_random_delivery_reports_what_has_happened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """Any habits, any faults: delivered once, or not and said, and nothing of others is touched.

    `python tests/delivery/odd_deliveries.py 1000` makes more of them.
    """
    with caplog.at_level(logging.CRITICAL, logger="asyncssh"):
        assert deliver(drawn(seed), tmp_path) != "failed needlessly"


def test_the_temporary_name_is_the_setting(folder: Path, outgoing: MakeFile) -> None:
    """With the run's id and random letters in it."""
    seen: list[str] = []
    faults = [Fault("rename", "nothing", at=1, first=lambda: seen.extend(names(folder)))]
    with staged_server(folder, faults) as server:
        destination(server, temporary_name="{run_id}~{name}.tmp").publish([outgoing()])

    assert re.fullmatch(r"run7-[0-9a-f]{8}~export-lytics-a\.csv\.tmp", seen[0])
