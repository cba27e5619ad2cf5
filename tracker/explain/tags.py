"""Tags: the URLs inside a pasted ad-server tag, HTML or VAST.

Rules
1. Nothing is fetched and nothing is run. A document type is refused: no entity of the text's own is ever expanded.
2. An HTML tag gives what a browser would load or open: ``src``, ``href``, ``srcset`` and the like, URLs in ``style``,
   and absolute URLs written out in scripts. A VAST document gives every element whose text is a URL.
3. A URL with a macro of the ad server before it (``%%CLICK_URL_UNESC%%https://...``) begins at its scheme.
4. What cannot be a hit (``data:``, ``#top``, ``logo.png``) is left out without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from xml.parsers import expat

from tracker.explain.request import NotUnderstood, Request

_LOADED = frozenset({
    "src", "href", "action", "formaction", "poster", "background", "data", "data-src", "data-href", "data-url",
})  # fmt: skip
_CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)", re.IGNORECASE)
_WRITTEN_URL = re.compile(r"https?:(?:\\?/){2}[^\s'\"<>`]+", re.IGNORECASE)
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
# Names of VAST 2 to 4 that begin a fragment; case counts, or HTML's <source> and <video> would be among them.
_VAST = re.compile(
    r"\s*(?:<\?xml|<!DOCTYPE VAST|<!\[CDATA\[|<(?:[\w-]+:)?"
    r"(?:VAST|VMAP|Ad|InLine|Wrapper|Impression|Error|Creatives?|Linear|NonLinear"
    r"|NonLinearAds|CompanionAds|Companion|TrackingEvents|Tracking|VideoClicks|ClickThrough|ClickTracking|CustomClick"
    r"|ViewableImpression|Viewable|MediaFiles?|AdVerifications|Verification|IconViewTracking|IconClicks"
    r"|CompanionClickThrough|CompanionClickTracking|NonLinearClickTracking|Extensions?)\b)"
)  # fmt: skip


def is_vast(text: str) -> bool:
    """Whether a text with ``<`` in it is VAST (or any XML with a declaration) rather than HTML."""
    return _VAST.match(text) is not None


def html(text: str) -> list[Request]:
    """One request a URL, in order, each URL once. Raises ``NotUnderstood`` if there is none."""
    parser = _Page()
    parser.feed(text)
    parser.close()
    return _requests(parser.found, "an HTML tag with a URL, such as <img src='https://tracker.example/imp/c1/cr1.gif'>")


def vast(text: str) -> list[Request]:
    """One request a URL, in order, each URL and element once. Raises ``NotUnderstood`` if it is no XML or has none."""
    text = text.strip()
    document = re.sub(r"^<\?xml[^>]*\?>", "", text)
    found: list[tuple[str, str]] = []
    open_: list[tuple[str, list[str]]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        event = f" event={attributes['event']}" if "event" in attributes else ""
        open_.append((name.rpartition(":")[2] + event, []))

    def end(_name: str) -> None:
        label, pieces = open_.pop()
        found.append((label, "".join(pieces)))

    if document.lstrip().startswith("<!DOCTYPE"):
        raise NotUnderstood("the XML has a document type (`<!DOCTYPE`), which VAST has not: leave it out")
    # SEC: inside an element a document type is a syntax error, so there are no entities but XML's own five: nothing to
    # expand, nothing to fetch.
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda piece: open_[-1][1].append(piece)
    try:
        parser.Parse("<pasted>" + document + "</pasted>", True)  # a fragment may have several roots
    except expat.ExpatError as error:
        said = expat.errors.messages.get(error.code, "") or str(error)
        hint = "In XML a `&` in a URL is written `&amp;`, or the URL stands in <![CDATA[...]]>."
        raise NotUnderstood(f"the XML cannot be read: {said}, line {error.lineno}. {hint}") from error
    return _requests(found, "VAST with a URL, such as <Impression><![CDATA[https://tracker.example/imp/...]]></Impression>")


class _Page(HTMLParser):
    """Collects labels and URLs."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            label = f"<{tag} {name}>"
            if name in _LOADED:
                self.found.append((label, value))
            elif name in ("srcset", "imagesrcset", "data-srcset"):
                self.found += [(label, each) for each in _candidates(value)]
            elif name == "ping":
                self.found += [(label, each) for each in value.split()]
            elif name == "style":
                self.found += [(label, each) for each in _CSS_URL.findall(value)]
            elif name.startswith("on"):
                self._script(label, value)

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self._script("<script>", data)
        elif self.cdata_elem == "style":
            self.found += [("<style>", each) for each in _CSS_URL.findall(data)]

    def _script(self, label: str, text: str) -> None:
        self.found += [(label, each.replace("\\/", "/").rstrip("\\);,")) for each in _WRITTEN_URL.findall(text)]


def _candidates(srcset: str) -> Iterator[str]:
    """The URLs of a ``srcset``: a URL may hold commas, but none at its end."""
    for candidate in re.split(r",\s+|,(?=https?:|/)", srcset):
        parts = candidate.split()
        if parts:
            yield parts[0].rstrip(",")


def _requests(found: list[tuple[str, str]], example: str) -> list[Request]:
    requests: list[Request] = []
    seen: set[tuple[str, str]] = set()
    for label, text in found:
        url = re.sub(r"[\t\n\r]", "", text.strip())  # as browsers do (WHATWG URL, 4.4)
        notes = []
        if not url.startswith("/"):
            begins = _SCHEME.search(url)
            if begins is None:
                continue
            if begins.start() and not _is_macro_prefix(url[: begins.start()]):
                continue
            if begins.start():
                notes.append(f"`{url[: begins.start()]}` in front is for the ad server to replace")
            url = url[begins.start() :]
        if (label, url) not in seen:
            seen.add((label, url))
            requests.append(Request(source=label, target=url, among=True, notes=notes))
    if not requests:
        raise NotUnderstood(f"there is no URL in it that could be a hit; write {example}")
    return requests


def _is_macro_prefix(text: str) -> bool:
    return re.fullmatch(r"(?:%%\w+%%|\$\{\w+\}|\[\w+\]|\{\w+\})+", text) is not None
