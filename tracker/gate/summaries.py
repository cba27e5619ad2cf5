"""A judgement for machines and for pages: JUnit XML, and Markdown. JSON is the judgement itself.

Nothing is written here: each function returns text.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from tracker.gate.figures import Latency
from tracker.gate.verdict import Finding, Judgement

_SAID = {"passed": "passed", "failed": "FAILED", "invalid": "INVALID"}


def junit(judgement: Judgement) -> str:
    """A test suite with one test case for each limit (the format that GitLab, Jenkins and GitHub's actions read).

    A run that is invalid is an error, not a failure.
    """
    figures, findings = judgement.figures, judgement.findings
    broken = [each for each in findings if not each.kept]
    errors = len(broken) if judgement.outcome == "invalid" else 0
    head = (
        f'<testsuite name="tracker bench gate" tests="{len(findings)}" failures="{len(broken) - errors}" '
        f'errors="{errors}" skipped="0" time="{figures.seconds:.3f}" timestamp={quoteattr(judgement.began[:19])}>'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f'<testsuites name="tracker bench gate">\n{head}']
    lines += [_case(judgement, each) for each in findings]
    latency = figures.latency_ms
    lines.append(
        f"<system-out>{_text(judgement.url)}: mean {latency.mean:.2f} ms, p50 {latency.p50:.2f}, "
        f"p99 {latency.p99:.2f}, p99.9 {latency.p999:.2f}, max {latency.max:.1f}</system-out>\n"
        "</testsuite>\n</testsuites>\n"
    )
    return "\n".join(lines)


def _case(judgement: Judgement, finding: Finding) -> str:
    began = f'<testcase classname="tracker.gate" name={quoteattr(finding.name)}'
    if finding.kept:
        return f"{began}/>"
    kind = "error" if judgement.outcome == "invalid" else "failure"
    return f"{began}><{kind} message={quoteattr(_clean(finding.said))}/></testcase>"


def _text(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(each if each.isprintable() else " " for each in text)


def markdown(judgement: Judgement) -> str:
    """A summary for a page, such as ``$GITHUB_STEP_SUMMARY``."""
    figures, limits = judgement.figures, judgement.limits
    latency = figures.latency_ms
    lines = [
        f"### Gate {_SAID[judgement.outcome]}: {limits.rps:,.0f} requests/s for {limits.duration_s:g} s",
        "",
        "| | limit | |",
        "|---|---|---|",
        *(f"| {'✅' if each.kept else '❌'} | {each.name} | {_cell(each.said)} |" for each in judgement.findings),
        "",
        "| latency, ms | requests | mean | p50 | p90 | p99 | p99.9 | max |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        _row("**all**", figures.sent, latency),
        *(_row(_cell(row.name), row.sent, row.latency_ms) for row in figures.rows),
    ]
    lines += ["", f"Latency counts from when a request was due. {_cell(judgement.machine)}."]
    if judgement.unchecked:
        lines.append(f"Events were not reconciled: {_cell(judgement.unchecked)}.")
    return "\n".join(lines) + "\n"


def _row(name: str, sent: int, each: Latency) -> str:
    return (
        f"| {name} | {sent:,} | {each.mean:.2f} | {each.p50:.2f} | {each.p90:.2f} | {each.p99:.2f} "
        f"| {each.p999:.2f} | {each.max:.1f} |"
    )


def _cell(text: str) -> str:
    return _clean(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
