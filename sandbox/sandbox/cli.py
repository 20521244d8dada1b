"""The command `sandbox`."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path

import click

from sandbox.faults import Faults, read_faults
from sandbox.sandbox import PortError, Sandbox

PORT = click.IntRange(0, 65_535)


@click.group()
def main() -> None:
    """Run a Lytics API and an SFTP server with invented people, on this machine alone."""


@main.command()
@click.option(
    "--people",
    type=click.IntRange(min=0),
    default=10_000,
    show_default=True,
    help="Size of the population.",
)
@click.option("--seed", default=1, show_default=True, help="Another seed makes other people.")
@click.option("--api-port", type=PORT, default=8765, show_default=True, help="0 takes a free one.")
@click.option("--sftp-port", type=PORT, default=2222, show_default=True, help="0 takes a free one.")
@click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("output/sandbox"),
    show_default=True,
    help="Folder for keys, known_hosts and the inbox.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with fault switches.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Written when both answer: the variables that point to them, as JSON.",
)
def serve(  # noqa: PLR0913, PLR0917 each option is one
    people: int,
    seed: int,
    api_port: int,
    sftp_port: int,
    state_dir: Path,
    faults: Path | None,
    ready_file: Path | None,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    ending = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    box = Sandbox(
        people,
        seed,
        _faults(faults),
        api_port=api_port,
        sftp_port=sftp_port,
        state_dir=state_dir,
    )
    try:
        with box:
            _announce(box, ready_file)
            signal.sigwait(ending)
    except PortError as error:
        option = f"--{error.parameter.replace('_', '-')}"
        sys.exit(f"{option}: {error.reason}; take another port, or 0 for a free one")
    except OSError as error:
        sys.exit(f"--state-dir, --ready-file: {error.filename}: {error.strerror}")
    except ValueError as error:
        sys.exit(f"--state-dir: a key in {state_dir} cannot be read ({error}); delete it")


def _faults(path: Path | None) -> Faults:
    if path is None:
        return Faults()
    try:
        return read_faults(path.read_bytes())
    except ValueError as error:
        sys.exit(f"--faults: {path}: {error}")


def _announce(box: Sandbox, ready_file: Path | None) -> None:
    variables = box.variables()
    if ready_file is not None:
        new = ready_file.with_name(f"{ready_file.name}.new")
        new.unlink(missing_ok=True)
        # The password is in it.
        new.touch(mode=0o600)
        new.write_text(json.dumps(variables), "utf-8")
        new.replace(ready_file)
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"# files arrive in {box.inbox}\nready")
    sys.stdout.flush()
