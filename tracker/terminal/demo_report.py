"""A demo's summary for people: what was sent and what came of it, the bills, and whether the journal agrees."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from rich.text import Text

from tracker.demo.summary import Bill, Row, Summary
from tracker.terminal.safe import safe

_COLUMNS = (12, 32, 9, 9, 9)


def report(summary: Summary) -> Text:
    """The whole summary."""
    text = Text()
    text.append(f"Demo {summary.run}", "bold")
    text.append(f": {summary.sent:,} hits to {safe(summary.url)} in {summary.seconds:.1f} s")
    per_second = summary.sent / summary.seconds if summary.seconds else 0.0
    text.append(f" ({per_second:,.1f} a second), seed {summary.seed}")
    text.append(", interrupted\n" if summary.interrupted else "\n")
    if summary.behind:
        text.append(f"It did not keep up with {summary.rate:g} a second: "
                    f"the latest hit left {summary.latest_s:.1f} s late.\n", "yellow")  # fmt: skip
    _rows(text, summary)
    _bills(text, summary)
    text.append("\n")
    _row(text, "answers", "   ".join(f"{status} {count:,}" for status, count in summary.statuses.items()) or "none")
    _row(text, "latency", "   ".join(f"{name} {ms:,.1f} ms" for name, ms in summary.latency_ms.items())
         + "   from when a hit was due")  # fmt: skip
    _row(text, "receipts", f"{summary.receipts:,} answers bore their event's id and said that it is kept")
    for reason, count in summary.refused.items():
        _row(text, "not kept", f"{count:,} for {safe(reason)}, as their answers said", "yellow")
    _row(text, "find them", f"tracker tail --where 'id~^demo-{summary.run}-'")
    _verdict(text, summary)
    return text


def _verdict(text: Text, summary: Summary) -> None:
    text.append("\n")
    for problem in summary.problems:
        text.append(f"{safe(problem)}\n", "red")
    check = summary.check
    if check is not None:
        for difference in check.differences:
            text.append(f"  {safe(difference)}\n", "red")
        if summary.receipts and not check.events:
            text.append(f"None of these events is in {safe(check.data_dir)}: is it the folder of the tracker that "
                        "answered? Name that one with --data-dir.\n", "red")  # fmt: skip
        if check.unanswered_found:
            text.append(f"{check.unanswered_found:,} events are there although their answers never came.\n", "yellow")
        if check.damaged_bytes:
            text.append("Some bytes of the journal are damaged and were passed over: see `tracker verify`.\n", "red")
    if summary.problems:
        text.append("Not everything is as meant.", "bold red")
    elif check is not None:
        text.append(f"All {check.answered:,} events found", "bold green")
        text.append(f" in {safe(check.data_dir)}, each as meant; totals equal.")
    else:
        text.append("Every answer was as meant", "bold green")
        text.append(f"; the journal was not looked at ({safe(summary.unchecked)}).")


def _rows(text: Text, summary: Summary) -> None:
    checked = summary.check is not None
    _cells(text, ("route", "outcome", "sent", "kept", "stored" if checked else ""), "dim")
    for route, rows in _by_route(summary.rows):
        shown = route or "(none)"
        good = [row for row in rows if row.outcome == "good"]
        lines = [("good", "green", good)] if good else []
        flags = sorted({flag for row in good for flag in row.flags})
        lines += [(f"  of these {flag}", "", [row for row in good if flag in row.flags]) for flag in flags]
        lines += [(row.said, "red" if row.outcome == "bad" else "yellow", [row]) for row in rows if row not in good]
        for said, style, same in lines:
            kept, stored = sum(row.kept for row in same), sum(row.stored or 0 for row in same)
            counts = (f"{sum(row.sent for row in same):,}", f"{kept:,}", f"{stored:,}" if checked else "")
            _cells(text, (shown, said, *counts), style, "bold red" if checked and stored != kept else "")
            shown = ""


def _by_route(rows: list[Row]) -> Iterable[tuple[str, list[Row]]]:
    """Routes with their rows, the busiest first; what no route took stands last."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.route, []).append(row)
    return sorted(found.items(), key=lambda item: (not item[0], -sum(row.sent for row in item[1])))


def _cells(text: Text, cells: tuple[str, ...], style: str, last: str = "") -> None:
    text.append(safe(cells[0], 40).ljust(_COLUMNS[0]) + " ", "bold" if style != "dim" else "dim")
    text.append(safe(cells[1], 60).ljust(_COLUMNS[1]), style)
    for cell, width in zip(cells[2:4], _COLUMNS[2:4], strict=True):
        text.append(cell.rjust(width), "dim" if style == "dim" else "")
    text.append(f"{cells[4].rjust(_COLUMNS[4]).rstrip()}\n", last or ("dim" if style == "dim" else ""))


def _bills(text: Text, summary: Summary) -> None:
    bills = sorted(summary.bills, key=lambda bill: -bill.cost_nanos)
    if not bills:
        return
    width = max(len(safe(bill.campaign, 40)) for bill in bills)
    text.append(f"\n{'campaign'.ljust(width)} impressions   clicks conversions        cost      budget\n", "dim")
    total = Bill(campaign="total")
    for bill in bills:
        _bill(text, bill, width)
        total.impressions += bill.impressions
        total.clicks += bill.clicks
        total.conversions += bill.conversions
        total.cost_nanos += bill.cost_nanos
    _bill(text, total, width, "bold")


def _bill(text: Text, bill: Bill, width: int, style: str = "") -> None:
    spent = bill.budget_micros and bill.cost_nanos >= bill.budget_micros * 1000
    text.append(f"{safe(bill.campaign, 40).ljust(width)} {bill.impressions:>11,} {bill.clicks:>8,} "
                f"{bill.conversions:>11,} {usd(bill.cost_nanos):>11}", style)  # fmt: skip
    budget = usd(bill.budget_micros * 1000) if bill.budget_micros else ""
    text.append(f" {budget:>11}" if budget else "")
    text.append("  spent\n" if spent else "\n", "yellow")


def usd(nanos: int) -> str:
    """Nanos as decimals with a currency, to a hundredth of a cent."""
    return f"{Decimal(nanos).scaleb(-9):,.4f} $"


def _row(text: Text, name: str, value: str, style: str = "") -> None:
    text.append(f"{name:<10} ", "dim")
    text.append(f"{value}\n", style)
