"""The report as people see it: in a real Chromium, on a phone, on a desk, in the dark, on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser import CHROMIUM, browser
from reported_runs import audience, people, run
from target_runs import mark, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from browser import Tab

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

LONG_NAME = "Subscribers_of_the_newsletter_" * 4
HOSTILE = "<script>document.title = 'hacked'</script><img src=http://192.0.2.1/x>"
DELIVERIES = [
    {"at": f"2026-11-{day:02d}T00:00:41Z", "rows": 170 + day, "rejected": day, "bytes": 9000}
    for day in range(1, 24)
]
FIELD_MAP = {
    "email": "user.Email",
    "name": "user.FirstName",
    "zip": "user.ZipCode",
    "country": f"user.CustomAttribute.{'CountryOfResidence' * 4}",
}
PLACES = {"phone": 400, "small phone": 320, "tablet": 768, "desk": 1280}
# The least contrast of a text with what is behind it, as WCAG 2 counts it.
LEAST_CONTRAST = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => parts(colour).slice(0, 3)
    .map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = element => {
    const colour = getComputedStyle(element).backgroundColor;
    return parts(colour)[3] === 0 ? behind(element.parentElement) : colour;
  };
  const contrast = element => {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const hasText = element => [...element.childNodes].some(node => node.nodeType === 3);
  const texts = [...document.body.querySelectorAll('*')].filter(hasText);
  return Math.min(...texts.filter(each => !each.closest('svg')).map(contrast));
})()
"""
# Elements that reach beyond the screen on the right.
TOO_WIDE = """
[...document.body.querySelectorAll('*')]
  .filter(each => each.getBoundingClientRect().right > innerWidth + 0.5)
  .map(each => each.tagName + '.' + each.className)
"""


def each_of(selector: str, expression: str) -> str:
    """What an expression says of each element."""
    return f"[...document.querySelectorAll('{selector}')].map(each => {expression})"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A browser for the tests of this module."""
    with browser(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run that went well, after 23 others."""
    messages = [
        mark("pending", deliveries=DELIVERIES),
        audience(title=LONG_NAME),
        *people(200),
        mark("complete"),
    ]
    ending = run(tmp_path_factory.mktemp("good"), messages, field_map=FIELD_MAP)
    assert ending.exit_code == 0, ending.log
    return ending.reports[0]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run whose tap died, in an audience with a hostile name."""
    messages = [mark("pending", deliveries=DELIVERIES), audience(title=HOSTILE), *records(20)]
    ending = run(tmp_path_factory.mktemp("failed"), messages)
    assert ending.exit_code == 3, ending.log
    return ending.reports[0]


@pytest.fixture(params=["good", "failed"])
def report(request: pytest.FixtureRequest) -> Path:
    """Each of the two."""
    path: Path = request.getfixturevalue(request.param)
    return path


def test_a_report_needs_nothing_but_itself(tab: Tab, report: Path) -> None:
    """One request, no failure, no complaint of the browser, no script."""
    tab.show(1280)
    tab.open(report)
    asked = [each["request"]["url"] for each in tab.events_named("Network.requestWillBeSent")]
    assert [url for url in asked if url != "data:,"] == [report.as_uri()]
    for complaint in ("Network.loadingFailed", "Log.entryAdded", "Runtime.exceptionThrown"):
        assert tab.events_named(complaint) == []
    assert tab.ask("document.scripts.length + document.images.length") == 0
    assert tab.ask("document.compatMode") == "CSS1Compat"


@pytest.mark.parametrize("width", PLACES.values(), ids=PLACES)
def test_nothing_reaches_beyond_the_screen(tab: Tab, report: Path, width: int) -> None:
    """Long names break; nobody has to scroll sideways."""
    tab.show(width)
    tab.open(report)
    assert tab.ask("innerWidth") == width
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.ask(TOO_WIDE) == []


@pytest.mark.parametrize("width", PLACES.values(), ids=PLACES)
def test_the_numbers_are_there_to_see(tab: Tab, good: Path, width: int) -> None:
    """Counts, reasons, columns, files and the sentence about the trend, on any screen."""
    tab.show(width)
    tab.open(good)
    text = tab.ask("document.body.innerText.replace(/\\s+/g, ' ')")
    for words in (
        f"{LONG_NAME}: 180 contacts",
        "Received 200 Rows 180 90.0 % Rejected 20 10.0 % Duplicates 0 0 %",
        "user.Email: not a valid e-mail address 20 10.0 %",
        "user.FirstName 77.8 % 140",
        "24 deliveries since 2026-11-01, between 171 and 193 contacts. 13 fewer",
    ):
        assert words in text
    assert tab.ask("document.querySelector('.files .name').offsetHeight") > 0


def test_bars_are_as_long_as_what_they_stand_for(tab: Tab, good: Path) -> None:
    """The trend ends with this run's bar in a colour of its own; a column's bar is its share."""
    tab.show(1280)
    tab.open(good)
    bars = tab.ask(each_of(".bars rect", "each.getBoundingClientRect().height"))
    assert len(bars) == 24
    assert bars.index(max(bars)) == 22
    assert bars[23] / bars[22] == pytest.approx(180 / 193, abs=0.01)
    fills = tab.ask(each_of(".bars rect", "getComputedStyle(each).fill"))
    assert fills.count(fills[-1]) == 1
    share = "each.offsetWidth / each.parentElement.offsetWidth"
    shares = tab.ask(each_of(".gauge b", share))
    assert shares == pytest.approx([1, 140 / 180, 1, 1], abs=0.01)


def test_a_failure_and_a_hostile_name_are_shown_as_they_are(tab: Tab, failed: Path) -> None:
    """The message stands in the section; what looks like a script is text."""
    tab.show(400)
    tab.open(failed)
    text = tab.ask("document.body.innerText")
    assert "Not delivered" in text
    assert "the tap did not declare it complete after 20 records" in text
    assert HOSTILE in text
    assert "Last delivered 2026-11-23: 193 contacts. Nothing since." in text
    assert tab.ask("document.title").startswith("Not delivered, ")


@pytest.mark.parametrize(
    ("colours", "medium"), [("light", "screen"), ("dark", "screen"), ("dark", "print")]
)
def test_every_text_can_be_read(tab: Tab, report: Path, colours: str, medium: str) -> None:
    """Dark letters on light, light ones on dark where the reader wants it, dark ones on paper."""
    tab.show(1280, colours=colours, medium=medium)
    tab.open(report)
    page = tab.ask("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(page) < 60) == ((colours, medium) == ("dark", "screen"))
    assert tab.ask(LEAST_CONTRAST) >= 4.5
