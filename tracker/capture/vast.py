"""VAST: the names of its tracking events, and what players and ad servers call them.

Rules
1. A name is spelled as VAST 4.3 (3.14.1) spells it, or as the older version did that had it.
2. A name counts in any case and with ``_``, ``-`` or spaces between its words. A number counts only as it is: without
   that, VAST's ``-1`` (unknown) would be Revive's 1.
3. What VAST has as elements of their own (Impression, Error, clicks, Viewable) is no tracking event.
"""

from __future__ import annotations

EVENTS = (
    # VAST 4.3: linear playback, operation, non-linear and interactive, verification
    "loaded", "start", "firstQuartile", "midpoint", "thirdQuartile", "complete", "progress",
    "mute", "unmute", "pause", "resume", "rewind", "skip", "playerExpand", "playerCollapse", "closeLinear", "notUsed",
    "creativeView", "acceptInvitation", "adExpand", "adCollapse", "minimize", "close", "overlayViewDuration",
    "otherAdInteraction", "interactiveStart", "verificationNotExecuted",
    # VAST 2 and 3
    "fullscreen", "exitFullscreen", "expand", "collapse", "acceptInvitationLinear", "timeSpentViewing",
    # VAST 1, still sent by Revive's video plugin
    "replay", "stop",
)  # fmt: skip
"""The tracking events, as VAST spells them."""

_NUMBERS = {
    # Revive Adserver, plugins_repo/openXVideoAds/plugins/videoAds/vastEvent.delivery.php: the ids of its reports.
    "1": "start", "2": "midpoint", "3": "firstQuartile", "4": "thirdQuartile", "5": "complete", "6": "mute",
    "7": "replay", "8": "fullscreen", "9": "stop", "10": "unmute", "11": "resume", "12": "pause",
    # Per cent of the video. No id of Revive's is one of them.
    "25": "firstQuartile", "50": "midpoint", "75": "thirdQuartile", "100": "complete",
    "25%": "firstQuartile", "50%": "midpoint", "75%": "thirdQuartile", "100%": "complete",
}  # fmt: skip
_ALIASES = {
    "q1": "firstQuartile", "q2": "midpoint", "q3": "thirdQuartile", "q4": "complete",
    # Google's IMA SDK (AdEvent.Type): the enum's names where they are not VAST's, and two values of its own.
    "started": "start", "completed": "complete", "paused": "pause", "resumed": "resume", "skipped": "skip",
    "userclose": "close", "volumemuted": "mute",
    # VPAID 2.0, table 2.5.3: the VAST event that each triggers. AdLoaded and AdStopped trigger none.
    "adstarted": "creativeView", "advideostart": "start", "advideofirstquartile": "firstQuartile",
    "advideomidpoint": "midpoint", "advideothirdquartile": "thirdQuartile", "advideocomplete": "complete",
    "adpaused": "pause", "adplaying": "resume", "adskipped": "skip", "aduseracceptinvitation": "acceptInvitation",
    "aduserminimize": "collapse", "aduserclose": "close",
}  # fmt: skip
_EXACT = {name: name for name in EVENTS} | {name.lower(): name for name in EVENTS} | _NUMBERS
_LOOSE = {name.lower(): name for name in EVENTS} | _ALIASES
_MAX_CHARS = 64
_BETWEEN = str.maketrans("", "", "_- ")


def spelled(text: str) -> str | None:
    """The tracking event that a text names, in VAST's spelling; None if it names none."""
    name = _EXACT.get(text)  # PERF: nearly always
    if name is None and len(text) <= _MAX_CHARS and text.isascii():
        name = _LOOSE.get(text.translate(_BETWEEN).lower())
    return name
