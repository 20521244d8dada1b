"""The commands `--test`, `--list-segments` and `--suggest-map`: the lines that they print."""

from __future__ import annotations

import logging
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from tap_lytics.api.account import NEVER, read_expiry
from tap_lytics.api.page import ALL_BUCKETS, AudienceQuery, read_page
from tap_lytics.declared_types import MEMBERSHIP
from tap_lytics.errors import MissingFieldsError
from tap_lytics.printable import printable
from tap_lytics.records import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_lytics.api.account import Account, Field, Segment
    from tap_lytics.streams import AudienceStream

logger = logging.getLogger("tap-lytics")

MIN_DAYS_TO_EXPIRY = 7
"""A token that expires sooner is warned of."""

SEGMENT_COLUMNS = ("id", "slug", "name", "kind", "size")

MAX_NAME_CHARACTERS = 64
"""What Lytics itself shows of a name."""

INDENT = " " * 6
"""Before a setting of a plugin in meltano.yml, where a suggested map is pasted."""

MAPP_HEADERS: dict[str, tuple[tuple[str, ...], str]] = {
    "user.Email": (("email", "mail", "emailaddress"), ""),
    "user.MobileNumber": (("mobilenumber", "mobile", "mobilephone", "cellphone"), ""),
    "user.FaxNumber": (("appalias",), ""),
    "user.Identifier": (("externalid", "crmid", "customerid"), ""),
    "user.FirstName": (("firstname", "fname", "givenname", "forename"), ""),
    "user.LastName": (("lastname", "lname", "surname", "familyname"), ""),
    "user.Nickname": (("nickname", "preferredname"), ""),
    "user.ZipCode": (("zipcode", "zip", "postalcode", "postcode"), ""),
    "user.PartnerId": ((), ""),
    "user.ISOCountryCode": (("isocountrycode", "countrycode", "country"), "ISO 3166 codes"),
    "user.ISOLanguageCode": (("isolanguagecode", "languagecode", "language"), "ISO 639 codes"),
    "user.TimeZone": (("timezone",), "IANA names"),
    "user.Title": (("title", "salutation"), "1 Mr., 2 Ms."),
    "user.DateOfBirth": (("dateofbirth", "birthday", "birthdate", "dob"), ""),
    "user.Gender": (("gender", "sex"), "1 male, 2 female"),
    "user.Photo": ((), ""),
    "member.MobileChannel": ((), ""),
}
"""By header of Mapp: names of fields with that meaning, and the values that Mapp expects."""

SAMPLE_PAGES = 5
"""Pages that are read to count how many profiles have each field."""

_PLAIN_YAML = re.compile("(?!false$)[a-z][a-z0-9]{4,}|[a-z][a-z0-9]*_[a-z0-9_]*|city|zip").fullmatch
"""Names that need no quotes; YAML does not read short words such as `no` as text."""

_NOT_ASCII = re.compile("[^\x00-\x7e]")


def check_account(account: Account, token: str) -> Iterator[str]:
    """A line for each thing that the token can reach.

    Raises:
        LyticsError: The token is refused, or Lytics cannot be reached.
    """
    segments, schema = account.segments, account.schema
    accounts = sorted({segment.account_id for segment in segments if segment.account_id})
    yield f"token: accepted by {account.client.host}"
    if line := _expiry(account, token):
        yield line
    if accounts:
        yield f"account: {', '.join(accounts)}"
    yield f"audiences: {len(segments)} in table {account.table!r}"
    yield f"schema: {len(schema.fields)} fields"


def _expiry(account: Account, token: str) -> str | None:
    """When the token expires, with a warning if that is soon; None if it is unknown."""
    expires = read_expiry(account.client, token)
    if expires is None or expires == NEVER:
        return None if expires is None else "token: never expires"
    days = (expires - datetime.now(UTC)).days
    if days < MIN_DAYS_TO_EXPIRY:
        logger.warning(
            "`api_token`: expires in %d days, on %s. Set it to a new one "
            "(Lytics: Account > Security > Access Tokens).",
            days,
            f"{expires:%Y-%m-%d}",
        )
    return f"token: expires in {days} days, on {expires:%Y-%m-%d}"


def check_streams(streams: Iterable[AudienceStream]) -> Iterator[str]:
    """Read one page of each audience; a line with the number of its people.

    Raises:
        MissingFieldsError: No record has a field without which a run would fail.
        LyticsError: An audience cannot be read.
    """
    problems: list[str] = []
    for stream in streams:
        people, problem = _check_first_page(stream)
        yield f"audience {stream.name!r}: {people} people"
        problems += problem
    if problems:
        raise MissingFieldsError.of(problems)


def _check_first_page(stream: AudienceStream) -> tuple[str, list[str]]:
    """The number of people, and what would make a run fail; the rest is logged as a warning."""
    context, converter = stream.scan_context(), stream.converter()
    page = read_page(context.client, context.query, stream.buckets)
    converter.convert(page.people)
    problems = []
    try:
        stream.missing_fields().check(converter.missing, len(page.people), stream.logger)
    except MissingFieldsError as error:
        problems.append(f"{error} (only the first page was read)")
    people = f"{page.total:,}" if page.total is not None else "an unknown number of"
    return people, problems


def suggested_map(account: Account, segments: Sequence[Segment], page_size: int) -> Iterator[str]:
    """The lines of a `field_map` in YAML: known fields with Mapp's header, others as comments.

    Args:
        segments: The largest of these audiences is the sample.

    Raises:
        LyticsError: The schema or the audience cannot be read.
    """
    fields = [field for field in account.schema.fields.values() if field.name != MEMBERSHIP]
    headers = _known_headers(fields)
    people, counts, audience = _sample(account, segments, page_size)
    yield "# Lytics field to Mapp header: copy the lines as they are to `fields` in meltano.yml."
    yield f"# The numbers: profiles with a value, of {people} of {audience}."
    yield f"{INDENT}field_map:"
    for field in sorted(fields, key=lambda field: headers.get(field.name) != "user.Email"):
        if field.name in headers:
            yield f"{INDENT}{_entry(field, headers[field.name], counts[field.name])}"
    yield f"{INDENT}# Attributes of your own. Remove the first `# ` of those that you want."
    for field in fields:
        if field.name not in headers:
            header = f"user.CustomAttribute.{_camel_case(field.name)}"
            yield f"{INDENT}# {_entry(field, header, counts[field.name])}"


def _known_headers(fields: Sequence[Field]) -> dict[str, str]:
    """Mapp's header by the name of each field whose meaning is known; each header once."""
    found: dict[str, str] = {}
    for header, (names, _) in MAPP_HEADERS.items():
        for field in fields:
            is_single = field.type in ("string", "int", "date")
            if is_single and re.sub("[^a-z0-9]", "", field.name.lower()) in names:
                found[field.name] = header
                break
    return found


def _sample(
    account: Account, segments: Sequence[Segment], page_size: int
) -> tuple[int, Counter[str], str]:
    """How many profiles were read, how many of them have each field, and of which audience."""
    counts: Counter[str] = Counter()
    segment = max(segments, key=lambda segment: segment.size or 0, default=None)
    if segment is None:
        return 0, counts, "no audience"
    label = f"audience {segment.slug!r}"
    query = AudienceQuery(label, account.table, page_size, segment_id=segment.id)
    people, cursor = 0, ""
    for _ in range(SAMPLE_PAGES):
        page = read_page(account.client, query, ALL_BUCKETS, cursor)
        people += len(page.people)
        counts.update(
            name for person in page.people for name in person if person[name] not in NOTHING
        )
        cursor = page.cursor
        if not cursor:
            break
    return people, counts, printable(label)


def _entry(field: Field, header: str, count: int) -> str:
    """A column, and in a comment what is known of its field; no value of a profile."""
    name = field.name if _PLAIN_YAML(field.name) else _quoted(field.name)
    facts = [
        printable(field.type) or "no type",
        *([f'"{printable(field.description, limit=60)}"'] if field.description else []),
        *(["identifier"] if field.is_identifier else []),
        *(["personal"] if field.is_pii else []),
    ]
    _, values = MAPP_HEADERS.get(header, ((), ""))
    advice = f". Mapp expects {values}" if values else ""
    return f"- {name}: {header}  # {', '.join(facts)}: {count:,}{advice}"


def _quoted(name: str) -> str:
    """A name between double quotes, as YAML reads it."""
    text = msgspec.json.encode(name).decode()
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in text)


def _camel_case(name: str) -> str:
    words = re.findall("[A-Za-z0-9]+", name)
    return "".join(word[0].upper() + word[1:] for word in words)[:80] or "Name"


def segments_table(segments: Sequence[Segment]) -> Iterator[str]:
    """The lines of a table with a header, sorted by slug; sizes are aligned to the right."""
    rows = [SEGMENT_COLUMNS, *(_row(segment) for segment in _sorted(segments))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(SEGMENT_COLUMNS))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = row[-1].rjust(widths[-1])
        yield "  ".join(cells)


def segments_json(segments: Sequence[Segment]) -> Iterator[str]:
    r"""A JSON object per audience, for programs: every value exact, in ASCII.

    JSON allows U+2028, U+0085 and others unescaped, at which `str.splitlines` and its like in
    other languages split; so everything that is not ASCII is written `\uXXXX`.
    """
    for segment in _sorted(segments):
        fields = {name: getattr(segment, name) for name in SEGMENT_COLUMNS}
        fields["invalid_reason"] = segment.invalid_reason
        yield _NOT_ASCII.sub(_escaped, msgspec.json.encode(fields).decode())


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _row(segment: Segment) -> tuple[str, ...]:
    size = "" if segment.size is None else f"{segment.size:,}"
    kind = segment.kind if segment.invalid_reason is None else f"{segment.kind} (invalid)"
    name = printable(segment.name, limit=MAX_NAME_CHARACTERS)
    return (printable(segment.id), printable(segment.slug), name, printable(kind), size)


def _sorted(segments: Sequence[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda segment: segment.slug)
