"""The part on dates: the order book, what waits for what, fallbacks, release and the rules."""

from __future__ import annotations

from capmodel.report.tripwires import tripwire_blocks
from capmodel.report.views import Block, Column, Figure, Material, Note, Section, table

__all__ = ["orders"]


def orders(material: Material) -> Section:
    """Return the order book: Gantt, freezes in words, dates, reasons, fallbacks and release."""
    frame = material.frame("orders")
    freezes = [f"from {start} until {end}" for start, end in material.marks.freeze]
    said = f"Changes are frozen {' and '.join(freezes)} (end exclusive)." if freezes else ""
    if frame.empty:
        empty = Note(f"The order book is empty. {said}".strip(), "empty")
        return Section("orders", "Order book and freeze", "", (empty, *_rules(material)))
    alt = "Order book: " + "; ".join(
        f"{item}, {action}, latest by {latest}, status {status}"
        for item, action, latest, status in zip(
            frame["item"], frame["action"], frame["latest_by"], frame["status"], strict=True
        )
    )
    blocks: list[Block] = [Figure("orders", f"{alt}.")]
    if said:
        blocks.append(Note(said))
    blocks.append(table(frame, _DATES, caption="Dates to keep", name="orders"))
    blocks.append(table(frame, _REASONS, caption="Reasons and fallbacks", name="orders"))
    lead = "Dates are capacity: what is asked for after its latest date will not be there."
    rest = (
        *tripwire_blocks(material),
        *_release(material),
        *_load_tests(material),
        *_rules(material),
    )
    return Section("orders", "Order book and freeze", lead, (*blocks, *rest))


_DATES = (
    Column("id", "No.", "code"),
    Column("item", "For", "code"),
    Column("kind", "Kind", "name"),
    Column("count", "Count", "count"),
    Column("reserve_total", "Reserve in all", "count"),
    Column("match", "Match", "name"),
    Column("request_opens", "Window opens", "date"),
    Column("recommended_by", "Recommended by", "date"),
    Column("latest_by", "Latest by", "date"),
    Column("in_place_by", "In place by", "date"),
    Column("commit_until", "Committed until", "date"),
    Column("state", "State", "name"),
    Column("state_on", "Since", "date"),
    Column("status", "Status", "status"),
)
_REASONS = (
    Column("id", "No.", "code"),
    Column("item", "For", "code"),
    Column("reason", "Why"),
    Column("depends_on", "Needs first", "code"),
    Column("fallback", "If it is refused or late"),
    Column("fallback_by", "If no answer by", "date"),
    Column("fallback_latest", "Fallback at the latest", "date"),
)


def _release(material: Material) -> list[Block]:
    """Return what is given back after the season's events, and what that saves."""
    frame = material.frame("release")
    if frame.empty:
        return []
    columns = (
        Column("release_on", "On", "date"),
        Column("order", "Order", "code"),
        Column("from", "From", "code"),
        Column("to", "To", "code"),
        Column("count", "Given back", "count"),
        Column("ask_by", "Ask by", "date"),
        Column("last_needed_on", "Last needed", "date"),
        Column("unit_hours_saved", "Saved", "count", "instance h"),
        Column("usd_avoided", "Avoided", "usd", "USD"),
        Column("usd_past_season", "Held past the season", "usd", "USD"),
        Column("reason", "Why then"),
    )
    return [table(frame, columns, caption="Release after the season", name="release")]


def _load_tests(material: Material) -> list[Block]:
    frame = material.frame("load_tests")
    if frame.empty:
        return []
    columns = (
        Column("service", "Service", "code"),
        Column("target_rps", "Target", "num", "1/s"),
        Column("target_is", "Target is"),
        Column("achieved_rps", "Achieved", "num", "1/s"),
        Column("date", "Tested on", "date"),
        Column("build", "Build", "code"),
        Column("result", "Result"),
        Column("stale_because", "Stale because"),
        Column("retest_by", "Test again by", "date"),
        Column("status", "Status", "status"),
    )
    return [table(frame, columns, caption="Load tests", name="load_tests")]


def _rules(material: Material) -> list[Block]:
    frame = material.frame("lead_times")
    if frame.empty:
        return []
    columns = (
        Column("what", "What"),
        Column("request_opens", "Window opens", "date"),
        Column("recommended_by", "Recommended by", "date"),
        Column("latest_by", "Latest by", "date"),
        Column("stands_by", "Stands by", "date"),
        Column("min_vcpu", "Smallest", "count", "vCPU"),
        Column("source", "Source"),
        Column("as_of", "As of", "date"),
    )
    return [table(frame, columns, caption="Lead times of this season", name="lead_times")]
