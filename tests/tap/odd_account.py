"""An account whose profiles hold every kind of value under every declared type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripted_lytics import Reply, ScriptedLytics

if TYPE_CHECKING:
    from scripted_lytics import Asked

TYPES = {
    "_id": "string",
    "text": "string",
    "whole": "int",
    "long": "long",
    "fraction": "number",
    "flag": "bool",
    "texts": "[]string",
    "ordered": "ts[]string",
    "counts": "map[string]int",
    "sums": "map[string]intsum",
    "fractions": "map[string]number",
    "words": "map[string]string",
    "flags": "map[string]bool",
    "anything": "map[string]value",
    "unknown": "a type of next year",
    "moment": "date",
    "moments": "[]time",
    "moment_by": "map[string]time",
}
DATES = {"moment", "moments", "moment_by"}
VALUES: tuple[Any, ...] = (
    None, "", "null", "14", " 14 ", "14.0", 14, 14.0, -1.5, 2**62, 2**70, 1e300, 1e-7, 0, -0.0,
    True, False, "t", "TRUE", "yes", "Zoë 🎉", "a\nb", '"', "\u2028", "1_000", "\u0663",
    "1e999999999",
    [], {}, [1], [[]], [{}], ["a", None, True, 2, 1.5], {"a": 1}, {"a b.c": "1", "-9": None},
    {"a": {"b": [1]}}, {"a": 1.5}, {"a": "soon"}, [2**70], "x" * 5000, "[1]", "{}",
)  # fmt: skip
MOMENTS: tuple[Any, ...] = (
    "2025-06-01T10:11:12.345678901-07:00", "2025-06-01T10:11:12Z", "2025-06-01T10:11:12",
    "2025-06-01", "20250601", 20250601, 1748772672123, "1748772672123", 1748772672123.0,
    "0001-01-01T00:00:00Z", None,
)  # fmt: skip
"""What Lytics may send for a date; a text that is none would end the load of an SDK target."""
SLUG = "odd"


def profiles() -> list[dict[str, Any]]:
    """A profile for each value, which it holds in all of its fields."""
    people = []
    for number, value in enumerate(VALUES):
        moment = MOMENTS[number % len(MOMENTS)]
        person = dict.fromkeys(TYPES, value)
        person |= {"moment": moment, "moments": [moment], "moment_by": {"web": moment}}
        people.append({**person, "_id": str(number)})
    return people


def odd_account(people: list[dict[str, Any]] | None = None) -> ScriptedLytics:
    """Serve one audience of these profiles."""
    profiles_or_given = profiles() if people is None else people
    fields = [{"id": name, "type": declared} for name, declared in TYPES.items()]
    audience = {"id": "a1", "slug_name": SLUG, "name": "Odd", "kind": "segment", "table": "user"}
    answers: dict[str, Any] = {
        "/v2/segment": [audience],
        "/v2/segment/a1": audience,
        "/v2/schema": [],
        "/v2/schema/user/field": fields,
    }

    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/scan"):
            total = len(profiles_or_given)
            return Reply({"data": profiles_or_given, "total": total, "_next": "", "status": 200})
        if asked.path in answers:
            return Reply({"data": answers[asked.path], "status": 200})
        return Reply({"status": 404, "message": "not found"}, status=404)

    return ScriptedLytics(answer)
