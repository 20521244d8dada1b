"""The section of one audience."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from target_mapp_sftp.report.facts import Status
from target_mapp_sftp.report.markup import Markup, breakable, element, joined
from target_mapp_sftp.report.trend import trend
from target_mapp_sftp.report.words import count, duration, share, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from target_mapp_sftp.report.facts import Failure, StreamFacts

_Key = TypeVar("_Key", str, tuple[str, str])
_SHORT_HASH = 12
_NUMBERS = {"Rows", "Size", "Records", "Of received", "Values", "Filled"}
"""Titles of columns that stand to the right."""
_KINDS = {
    Status.DELIVERED: "good",
    Status.PARTLY: "mixed",
    Status.NOTHING: "quiet",
    Status.FAILED: "bad",
    Status.STOPPED: "bad",
}


def section(stream: StreamFacts) -> Markup:
    """All about one audience."""
    return element(
        "section",
        _heading(stream),
        failure_box(stream.failure),
        _remark(stream),
        _counts(stream),
        _part("Deliveries", _trend(stream)),
        _part("Files", _files(stream)),
        _part("Rejected", _rejects(stream)),
        _part("Values left empty", _by_column(stream.emptied)),
        _part("Values cut", _by_column(stream.cut)),
        _part("Values in plain letters", _by_column(stream.folded)),
        _part("Columns", _columns(stream.filled, stream.rows)),
    )


def badge(status: Status) -> Markup:
    """How it ended, in a word and a colour."""
    return element("span", status.value, class_=f"badge {_KINDS[status]}")


def failure_box(failure: Failure | None) -> Markup:
    """An error's message and details, as they stand in the log."""
    if failure is None:
        return joined()
    lines = [element("li", line) for line in failure.details]
    return element(
        "div",
        element("p", failure.message),
        element("ul", *lines) if lines else joined(),
        class_="failure",
    )


def _heading(stream: StreamFacts) -> Markup:
    name = joined()
    if stream.name != stream.audience:
        name = element("code", stream.name, class_="stream")
    return element(
        "header", element("h2", stream.audience), badge(stream.status), name, class_="heading"
    )


def _remark(stream: StreamFacts) -> Markup:
    remarks = []
    if stream.is_preview:
        remarks.append("A preview: only the first rows were wanted.")
    if stream.status is Status.NOTHING:
        remarks.append("Nobody is in it, and empty_audience is skip: no file.")
    return element("p", " ".join(remarks)) if remarks else joined()


def _counts(stream: StreamFacts) -> Markup:
    if not stream.received and stream.status in {Status.FAILED, Status.STOPPED}:
        return joined()
    counts = [
        ("Received", stream.received, "received"),
        ("Rows", stream.rows, "rows"),
        ("Rejected", stream.rejected, "rejected"),
        ("Duplicates", stream.duplicates, "duplicates"),
    ]
    tiles = [
        element(
            "div",
            element("dt", label),
            element("dd", count(number)),
            element("dd", "" if kind == "received" else share(number, stream.received)),
            class_=f"tile {kind}",
        )
        for label, number, kind in counts
    ]
    parts = [(number, kind) for _, number, kind in counts[1:] if number]
    return joined(element("dl", *tiles, class_="tiles"), _proportions(parts))


def _proportions(parts: Sequence[tuple[int, str]]) -> Markup:
    bars = [element("i", class_=kind, style=f"flex-grow:{number}") for number, kind in parts]
    return element("div", *bars, class_="proportions", aria_hidden="true") if bars else joined()


def _part(title: str, content: Markup) -> Markup:
    return element("div", element("h3", title), content, class_="part") if content else joined()


def _trend(stream: StreamFacts) -> Markup:
    if not stream.deliveries:
        return joined()
    return trend(stream.deliveries, has_new=stream.status is Status.DELIVERED)


def _files(stream: StreamFacts) -> Markup:
    rows = [
        [
            element("td", each.name, class_="name"),
            _number(count(each.rows)),
            _number(size(each.size_bytes)),
            element("td", element("code", each.sha256[:_SHORT_HASH], title=each.sha256)),
        ]
        for each in stream.files
    ]
    table = _table(("Name", "Rows", "Size", "SHA-256 begins"), rows, class_="files")
    if stream.seconds is None or not rows:
        return table
    took = f"Finished and sent in {duration(stream.seconds)}."
    return joined(table, element("p", took, class_="note"))


def _rejects(stream: StreamFacts) -> Markup:
    rows = [
        [element("td", reason), _number(count(number)), _number(share(number, stream.received))]
        for reason, number in _most_first(stream.reject_reasons)
    ]
    path = joined()
    if stream.rejects_path:
        path = element("p", "Listed in ", element("code", stream.rejects_path), class_="note")
    return joined(_table(("Reason", "Records", "Of received"), rows), path)


def _by_column(counts: Mapping[tuple[str, str], int]) -> Markup:
    rows = [
        [element("td", breakable(column)), element("td", reason), _number(count(number))]
        for (column, reason), number in _most_first(counts)
    ]
    return _table(("Column", "Reason", "Values"), rows)


def _columns(filled: Mapping[str, int], rows: int) -> Markup:
    written = [
        [
            element("td", breakable(column)),
            element("td", _gauge(number, rows), class_="gauge", aria_hidden="true"),
            _number(share(number, rows) or "0 %"),
            _number(count(number)),
        ]
        for column, number in filled.items()
    ]
    return _table(("Column", "", "Filled", "Rows"), written, class_="columns")


def _gauge(number: int, rows: int) -> Markup:
    return element("i", element("b", style=f"width:{100 * number / max(1, rows):.1f}%"))


def _table(titles: Sequence[str], rows: Sequence[Sequence[Markup]], **attributes: str) -> Markup:
    if not rows:
        return joined()
    head = element("tr", *(_title(title) for title in titles))
    body = (element("tr", *cells) for cells in rows)
    return element("table", element("thead", head), element("tbody", *body), **attributes)


def _title(title: str) -> Markup:
    kind = {"class_": "number"} if title in _NUMBERS else {}
    return element("th", title, scope="col", **kind)


def _number(text: str) -> Markup:
    return element("td", text, class_="number")


def _most_first(counts: Mapping[_Key, int]) -> list[tuple[_Key, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))
