"""The page: what a browser needs to know, the run, and a section for each audience."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from target_mapp_sftp.report.audience import badge, failure_box, section
from target_mapp_sftp.report.markup import Markup, element
from target_mapp_sftp.report.words import counted, duration, moment

if TYPE_CHECKING:
    from target_mapp_sftp.report.facts import RunFacts

# Even a page that somebody has tampered with loads nothing and runs nothing.
_HEAD = Markup(
    '<meta charset="utf-8">'
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    '<meta name="robots" content="noindex">'
    '<meta name="referrer" content="no-referrer">'
    '<link rel="icon" href="data:,">'
)


def page(run: RunFacts) -> str:
    """The whole page as text."""
    head = element("head", _HEAD, element("title", _title(run)), _style())
    body = element(
        "body",
        element(
            "main",
            _heading(run),
            failure_box(run.failure),
            *(section(stream) for stream in run.streams),
            _footer(),
        ),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _style() -> Markup:
    style = resources.files(__package__).joinpath("style.css").read_text("utf-8")
    return element("style", Markup(style))


def _title(run: RunFacts) -> str:
    return f"{run.status.value}, {moment(run.started_at)}"


def _heading(run: RunFacts) -> Markup:
    return element(
        "header",
        element("p", badge(run.status)),
        element("h1", _sentence(run)),
        element(
            "dl",
            _fact("Started", moment(run.started_at)),
            _fact("Took", duration(run.seconds)),
            _fact("To", run.destination),
            _fact("Run", element("code", run.run_id)),
            class_="facts",
        ),
        class_="run",
    )


def _sentence(run: RunFacts) -> str:
    rows = counted(sum(file.rows for each in run.streams for file in each.files), "contact")
    if len(run.streams) == 1:
        name = run.streams[0].audience
        return f"{name}: {rows}" if run.delivered else name
    if not run.streams:
        return "No audience came"
    if run.delivered == len(run.streams):
        return f"{counted(run.delivered, 'audience')}, {rows}"
    return f"{run.delivered} of {counted(len(run.streams), 'audience')}, {rows}"


def _fact(name: str, value: str) -> Markup:
    return element("div", element("dt", name), element("dd", value))


def _footer() -> Markup:
    words = "Counts and names of columns only: nothing about a person is on this page."
    return element("footer", words)
