"""What other people's servers do in the middle of a delivery, staged one by one."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from complete_settings import server_settings
from staged_server import (
    NO_SUCH_FILE,
    PERMISSION_DENIED,
    UNSUPPORTED,
    Fault,
    StagedServer,
    staged_server,
)

from target_mapp_sftp.delivery.destination import SftpDestination
from target_mapp_sftp.delivery.errors import (
    ConnectionLostError,
    FolderError,
    LocalFolderError,
    NameTakenError,
    OutcomeUnknownError,
    RenameRefusedError,
    SizeMismatchError,
    WriteRefusedError,
)
from target_mapp_sftp.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from target_mapp_sftp.delivery import OutgoingFile

    MakeFile = Callable[..., OutgoingFile]

RUN_ID = "run7"


def destination(server: StagedServer, **others: Any) -> SftpDestination:
    """Deliver to *server* without waiting between tries."""
    settings = server_settings(server.config(**others))
    return SftpDestination(settings, run_id=RUN_ID, first_wait_seconds=0)


def names(folder: Path) -> list[str]:
    """Everything in the folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def temporary(folder: Path, name: str = "export-lytics-a.csv") -> Path:
    """The file that *name* is while it grows; its name ends in random letters."""
    (found,) = folder.glob(f".{name}.{RUN_ID}-*.part")
    return found


def holds(folder: Path, name: str, file: OutgoingFile) -> bool:
    """Whether *name* is the whole file, byte for byte."""
    return (folder / name).read_bytes() == file.path.read_bytes()


class TestBrokenConnections:
    """The connection breaks at some step, and everything is there all the same."""

    @pytest.mark.parametrize("operation", ["stat", "open", "close", "lstat", "rename"])
    @pytest.mark.parametrize("effect", ["hang up", "lose"])
    def test_is_retried_at_each_step(
        self, folder: Path, outgoing: MakeFile, operation: str, effect: Any
    ) -> None:
        """Whichever request breaks off, before it is done or after, the file appears once."""
        file = outgoing()
        with staged_server(folder, [Fault(operation, effect, at=1)]) as server:
            published = destination(server).publish([file])

        assert published == (file.name,)
        assert names(folder) == [file.name]
        assert holds(folder, file.name, file)

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    @pytest.mark.parametrize("effect", ["hang up", "lose"])
    def test_an_upload_is_resumed_where_it_broke(
        self, folder: Path, outgoing: MakeFile, effect: Any, publish: str
    ) -> None:
        """A connection lost in the middle costs only the bytes that were not acknowledged."""
        file = outgoing(size_bytes=32_000 * 40)
        with staged_server(folder, [Fault("write", effect, at=30)]) as server:
            destination(server, publish=publish).publish([file])

            assert holds(folder, file.name, file)
            assert names(folder) == [file.name]
            assert 40 < server.asked.count("write") < 80

    def test_a_break_between_upload_and_rename_sends_nothing_again(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """A complete file is not uploaded twice because its rename broke off."""
        file = outgoing(size_bytes=32_000 * 4)
        with staged_server(folder, [Fault("rename", "hang up", at=1)]) as server:
            destination(server).publish([file])

            assert server.asked.count("write") == 4

    def test_a_break_between_two_renames_finishes_both(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """The first part keeps its name and the second gets its own."""
        files = [outgoing("export-1.csv"), outgoing("export-2.csv")]
        with staged_server(folder, [Fault("rename", "hang up", at=2)]) as server:
            published = destination(server).publish(files)

        assert published == ("export-1.csv", "export-2.csv")
        assert names(folder) == ["export-1.csv", "export-2.csv"]

    def test_a_rename_whose_answer_was_lost_is_found_out(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The rename is not asked for again when the folder shows that it happened."""
        file = outgoing()
        with (
            caplog.at_level(logging.INFO),
            staged_server(folder, [Fault("rename", "lose", at=1)]) as server,
        ):
            destination(server).publish([file])

            assert server.asked.count("rename") == 1
        assert "had happened before the connection broke" in caplog.text

    def test_a_rename_is_found_out_where_nothing_may_be_looked_at(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """Without stat and list, the answer to the same rename tells what became of the first."""
        file = outgoing()
        blind = [Fault(name, code=PERMISSION_DENIED) for name in ("lstat", "stat", "list")]
        with staged_server(folder, [*blind, Fault("rename", "lose", at=1)]) as server:
            assert destination(server).publish([file]) == (file.name,)

        assert names(folder) == [file.name]

    def test_a_rename_half_done_is_completed(self, folder: Path, outgoing: MakeFile) -> None:
        """A server that links and dies before it unlinks leaves one file, not two."""
        file = outgoing()

        def link() -> None:
            (folder / file.name).hardlink_to(temporary(folder))

        with staged_server(folder, [Fault("rename", "hang up", at=1, first=link)]) as server:
            assert destination(server).publish([file]) == (file.name,)

        assert names(folder) == [file.name]

    def test_a_file_fetched_before_it_could_be_looked_at_is_not_sent_twice(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """When the answer is lost and the file is under neither name, a person must look."""
        file = outgoing()
        fetched = Fault("rename", "hang up", at=1, first=lambda: temporary(folder).unlink())
        with (
            staged_server(folder, [fetched]) as server,
            pytest.raises(OutcomeUnknownError, match="has been fetched"),
        ):
            destination(server).publish([file])

        assert names(folder) == []

    def test_gives_up_after_max_retries_with_the_last_cause(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """The error says how often it was tried, and nothing is left."""
        with staged_server(folder, [Fault("write", "hang up")]) as server:
            with pytest.raises(ConnectionLostError, match=r"broke\. Given up after 2 reconnects"):
                destination(server, max_retries=2).publish([outgoing()])

            assert server.asked.count("write") >= 3
        assert names(folder) == []

    def test_a_silent_server_is_noticed(self, folder: Path, outgoing: MakeFile) -> None:
        """No answer for transfer_timeout counts as a broken connection."""
        file = outgoing()
        began = time.monotonic()
        with staged_server(folder, [Fault("close", "fall silent", at=1)]) as server:
            destination(server, transfer_timeout=0.5).publish([file])

        assert holds(folder, file.name, file)
        assert 0.5 < time.monotonic() - began < 5

    def test_timeouts_is_named(self, folder: Path, outgoing: MakeFile) -> None:
        """The error names the setting that says how long silence may last."""
        with (
            staged_server(folder, [Fault("close", "fall silent", at=1)]) as server,
            pytest.raises(ConnectionLostError, match=r"silent for 0\.3 s \(transfer_timeout\)"),
        ):
            destination(server, transfer_timeout=0.3, max_retries=0).publish([outgoing()])


class TestRefusals:
    """The server says no, for good."""

    def test_a_full_disk(self, folder: Path, outgoing: MakeFile) -> None:
        """A refused write ends the delivery, names what to look at, and leaves nothing."""
        full = Fault("write", at=3, text="No space left on device")
        with (
            staged_server(folder, [full]) as server,
            pytest.raises(WriteRefusedError, match=r"No space left on device.*room on the server"),
        ):
            destination(server).publish([outgoing(size_bytes=32_000 * 8)])

        assert names(folder) == []

    def test_a_disk_that_is_full_with_the_last_write(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """The answers to the last pipelined writes are seen too, where sizes are not told."""
        blind = [Fault(name, code=PERMISSION_DENIED) for name in ("lstat", "list")]
        with (
            staged_server(folder, [*blind, Fault("write", at=8)]) as server,
            pytest.raises(WriteRefusedError),
        ):
            destination(server).publish([outgoing(size_bytes=32_000 * 8)])

        assert names(folder) == []

    def test_a_disk_that_is_full_when_the_file_is_closed(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """A server that writes late refuses the close; that counts."""
        with (
            staged_server(folder, [Fault("close", at=1)]) as server,
            pytest.raises(WriteRefusedError),
        ):
            destination(server).publish([outgoing()])

        assert names(folder) == []

    def test_no_permission(self, folder: Path, outgoing: MakeFile) -> None:
        """A folder one may not write to is named, and the server is quoted."""
        fault = Fault("open", code=PERMISSION_DENIED, text="Permission denied")
        with (
            staged_server(folder, [fault]) as server,
            pytest.raises(WriteRefusedError, match='the server says "Permission denied"'),
        ):
            destination(server, folder="/").publish([outgoing()])

    def test_a_folder_that_vanishes(self, folder: Path, outgoing: MakeFile) -> None:
        """A folder that was there at the start and is gone at the end is said to be."""
        (folder / "in").mkdir()
        with staged_server(folder) as server:
            target = destination(server, folder="in")
            target.preflight()
            (folder / "in").rmdir()
            with pytest.raises(FolderError, match="folder in does not exist"):
                target.publish([outgoing()])

    def test_a_folder_that_vanishes_while_it_is_written_to(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """The same a moment later, when the file is opened."""
        (folder / "in").mkdir()
        gone = Fault("open", "nothing", first=(folder / "in").rmdir, at=1)
        with (
            staged_server(folder, [gone]) as server,
            pytest.raises(FolderError, match="no longer there"),
        ):
            destination(server, folder="in").publish([outgoing()])

    def test_a_rename_refused(self, folder: Path, outgoing: MakeFile) -> None:
        """A server that cannot rename is told apart, with the setting that helps."""
        with (
            staged_server(folder, [Fault("rename", code=UNSUPPORTED)]) as server,
            pytest.raises(RenameRefusedError, match="set publish to in_place"),
        ):
            destination(server).publish([outgoing()])

        assert names(folder) == []

    def test_a_second_rename_refused_takes_the_first_part_back(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """All parts or none."""
        files = [outgoing("export-1.csv"), outgoing("export-2.csv")]
        with (
            staged_server(folder, [Fault("rename", at=2)]) as server,
            pytest.raises(RenameRefusedError) as caught,
        ):
            destination(server).publish(files)

        assert names(folder) == []
        assert caught.value.details == ()

    def test_a_first_part_that_may_not_be_removed_is_hidden_again(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """Where deleting is forbidden, the published part at least loses its name, and is named."""
        files = [outgoing("export-1.csv"), outgoing("export-2.csv")]
        faults = [Fault("rename", at=2), Fault("remove", code=PERMISSION_DENIED)]
        with staged_server(folder, faults) as server, pytest.raises(RenameRefusedError) as caught:
            destination(server).publish(files)

        assert [name for name in names(folder) if not name.startswith(".")] == []
        assert len(caught.value.details) == 2
        assert f".export-1.csv.{RUN_ID}-" in caught.value.details[0]

    def test_a_first_part_that_cannot_be_taken_back_at_all_is_named(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """What the server does not let one undo is said, by name."""
        files = [outgoing("export-1.csv"), outgoing("export-2.csv")]
        faults = [Fault("rename", at=n) for n in range(2, 9)]
        faults += [Fault("remove", code=PERMISSION_DENIED)]
        with staged_server(folder, faults) as server, pytest.raises(RenameRefusedError) as caught:
            destination(server).publish(files)

        assert "export-1.csv is published and could not be removed" in caught.value.details[0]

    def test_a_half_done_rename_whose_other_half_must_stay(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """The file is published; that its hidden name cannot be removed does not unmake it."""
        file = outgoing()
        faults = [
            Fault(
                "rename",
                "hang up",
                at=1,
                first=lambda: (folder / file.name).hardlink_to(temporary(folder)),
            ),
            Fault("remove", code=PERMISSION_DENIED),
        ]
        with staged_server(folder, faults) as server:
            assert destination(server).publish([file]) == (file.name,)

        assert names(folder) == [temporary(folder).name, file.name]

    @pytest.mark.parametrize("max_retries", [0, 1])
    def test_a_blind_server_that_forbids_opening_again_leaves_doubt(
        self, folder: Path, outgoing: MakeFile, max_retries: int
    ) -> None:
        """Where nothing tells what became of a rename, the error says that and names the file."""
        faults = [Fault(name, code=PERMISSION_DENIED) for name in ("lstat", "stat", "list")]
        faults += [Fault("rename", "lose", at=1)]
        faults += [Fault("open", code=PERMISSION_DENIED, at=n) for n in range(2, 30)]
        with staged_server(folder, faults) as server, pytest.raises(DeliveryError) as caught:
            destination(server, max_retries=max_retries).publish([outgoing()])

        assert "export-lytics-a.csv may be published" in caught.value.details[0]


class TestSizes:
    """Whether everything arrived."""

    @pytest.mark.parametrize("code", [PERMISSION_DENIED, UNSUPPORTED])
    def test_a_server_that_forbids_looking_is_put_up_with(
        self,
        folder: Path,
        outgoing: MakeFile,
        caplog: pytest.LogCaptureFixture,
        code: int,
    ) -> None:
        """Without stat and list the file is delivered all the same, and it is said once."""
        blind = [Fault(name, code=code) for name in ("lstat", "stat", "list")]
        with staged_server(folder, blind) as server:
            target = destination(server)
            target.publish([outgoing("export-a.csv")])
            target.publish([outgoing("export-b.csv")])

        assert names(folder) == ["export-a.csv", "export-b.csv"]
        assert caplog.text.count("does not show the sizes of files") == 1

    def test_a_server_that_forbids_stat_is_asked_for_its_list(
        self, folder: Path, outgoing: MakeFile, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where only the list of names shows sizes, they are taken from there."""
        with staged_server(folder, [Fault("lstat", code=PERMISSION_DENIED)]) as server:
            destination(server).publish([outgoing()])

        assert "does not show" not in caplog.text

    def test_bytes_that_did_not_arrive_are_sent_anew(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """A file that is too short after its upload is written again from the beginning."""
        file = outgoing()

        def cut() -> None:
            with temporary(folder).open("r+b") as short:
                short.truncate(1000)

        # The first look is the one after the upload.
        with staged_server(folder, [Fault("lstat", "nothing", at=1, first=cut)]) as server:
            destination(server).publish([file])

        assert holds(folder, file.name, file)

    def test_a_server_that_always_changes_what_it_gets(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """What stays wrong is not published."""
        file = outgoing()

        def grow() -> None:
            for growing in folder.glob(".*.part"):
                growing.write_bytes(b"x" * (file.size_bytes + 1))

        with (
            staged_server(folder, [Fault("lstat", "nothing", first=grow)]) as server,
            pytest.raises(SizeMismatchError, match="100000 bytes were sent and 100001 bytes arr"),
        ):
            destination(server).publish([file])

        assert server.asked.count("open") == 2
        assert names(folder) == []

    def test_a_spooled_file_that_is_gone(self, folder: Path, outgoing: MakeFile) -> None:
        """A fault of this machine's is not blamed on the server."""
        file = outgoing()
        file.path.unlink()
        with staged_server(folder) as server, pytest.raises(LocalFolderError, match="spool_dir"):
            destination(server).publish([file])

        assert names(folder) == []


class TestNames:
    """What is there already."""

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    def test_a_name_taken_meanwhile_gets_another(
        self, folder: Path, outgoing: MakeFile, publish: str
    ) -> None:
        """Somebody who takes the name between the look and the act keeps his file."""
        file = outgoing()

        def take() -> None:
            (folder / file.name).write_text("somebody else's")

        operation = "rename" if publish == "rename" else "open"
        fault = Fault(operation, "nothing", at=1, first=take)
        with staged_server(folder, [fault]) as server:
            published = destination(server, publish=publish).publish([file])

        assert published == ("export-lytics-a_2.csv",)
        assert (folder / file.name).read_text() == "somebody else's"
        assert holds(folder, published[0], file)

    @pytest.mark.parametrize("publish", ["rename", "in_place"])
    def test_fail_says_so_before_anything_is_sent(
        self, folder: Path, outgoing: MakeFile, publish: str
    ) -> None:
        """With name_taken: fail, a taken name ends the delivery before the upload."""
        file = outgoing()
        (folder / file.name).write_text("somebody else's")
        with staged_server(folder) as server:
            with pytest.raises(NameTakenError, match="name_taken to new_name"):
                destination(server, name_taken="fail", publish=publish).publish([file])

            assert "write" not in server.asked
        assert names(folder) == [file.name]

    def test_two_runs_of_one_id_leave_each_other_alone(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """Some taps call every run the same; what another machine is writing stays."""
        file = outgoing()
        other = folder / f".{file.name}.{RUN_ID}-0a1b2c3d.part"
        other.write_bytes(b"another machine's")
        with staged_server(folder) as server:
            destination(server).publish([file])

        assert names(folder) == [other.name, file.name]
        assert other.read_bytes() == b"another machine's"

    def test_a_leftover_of_another_run_is_left_alone(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """Another run's temporary file may be in use."""
        (folder / ".export-lytics-a.csv.run6.part").write_text("another run's")
        with staged_server(folder, [Fault("rename")]) as server, pytest.raises(RenameRefusedError):
            destination(server).publish([outgoing()])

        assert names(folder) == [".export-lytics-a.csv.run6.part"]

    def test_a_missing_folder_is_made_when_asked_for(
        self, folder: Path, outgoing: MakeFile
    ) -> None:
        """create_folder makes every level, also when the connection breaks in between."""
        fault = Fault("mkdir", "lose", at=1)
        with staged_server(folder, [fault]) as server:
            destination(server, folder="in/deep", create_folder=True).publish([outgoing()])

        assert names(folder / "in/deep") == ["export-lytics-a.csv"]

    def test_a_folder_that_cannot_be_made(self, folder: Path) -> None:
        """The server's reason is quoted."""
        fault = Fault("mkdir", code=PERMISSION_DENIED, text="Permission denied")
        with (
            staged_server(folder, [fault]) as server,
            pytest.raises(FolderError, match=r"cannot be created.*Permission denied"),
        ):
            destination(server, folder="in", create_folder=True).preflight()

    def test_a_folder_that_is_a_file(self, folder: Path) -> None:
        """It is said before the first record."""
        (folder / "in").write_text("a file")
        with staged_server(folder) as server, pytest.raises(FolderError, match="is not a folder"):
            destination(server, folder="in").preflight()

    def test_words_in_another_encoding_are_shown(self, folder: Path) -> None:
        """A server whose errors are not UTF-8 does not break the delivery."""
        fault = Fault("stat", code=NO_SUCH_FILE, text="nicht gefunden")
        with staged_server(folder, [fault]) as server, pytest.raises(FolderError):
            destination(server, folder="in").preflight()


class TestInPlace:
    """For servers that cannot rename."""

    def test_never_renames(self, folder: Path, outgoing: MakeFile) -> None:
        """The file is written under its final name and no rename is asked for."""
        file = outgoing()
        with staged_server(folder) as server:
            assert destination(server, publish="in_place").publish([file]) == (file.name,)

            assert "rename" not in server.asked
        assert holds(folder, file.name, file)

    def test_removes_its_own_partial_file(self, folder: Path, outgoing: MakeFile) -> None:
        """A delivery that fails leaves none of its parts."""
        files = [outgoing("export-1.csv"), outgoing("export-2.csv", 32_000 * 3)]
        with (
            staged_server(folder, [Fault("write", at=6)]) as server,
            pytest.raises(WriteRefusedError),
        ):
            destination(server, publish="in_place").publish(files)

        assert names(folder) == []

    def test_says_what_it_could_not_remove(self, folder: Path, outgoing: MakeFile) -> None:
        """A partial file that must stay is named, for Mapp may read it."""
        faults = [Fault("write", at=2), Fault("remove", code=PERMISSION_DENIED)]
        with staged_server(folder, faults) as server, pytest.raises(WriteRefusedError) as caught:
            destination(server, publish="in_place").publish([outgoing()])

        assert "export-lytics-a.csv is on the server, perhaps unfinished" in str(
            caught.value.details
        )
