"""The closed list of names for why something is refused, flagged or dropped.

Rules
1. A name in ``reason``, ``flags``, ``X-Tracker-Reason`` or a ``reason`` label stands here, or nowhere.
2. ``kind`` says what it does to the hit: ``bad`` (kept in the bad lane, never billed), ``refused`` (not kept,
   counted), ``flag`` (kept in the good lane, marked).
3. The order is part of the counters' layout: new names go at the end of their kind's block in ``REASONS``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["bad", "refused", "flag"]


class Reason(NamedTuple):
    """One row of the list."""

    name: str
    kind: Kind
    help: str
    """What happened, and what its owner can do."""


MISSING_FIELD = "missing_field"
INVALID_FIELD = "invalid_field"
INVALID_EVENT_NAME = "invalid_event_name"
INVALID_BODY = "invalid_body"
BODY_TOO_COMPLEX = "body_too_complex"
BAD_DESTINATION = "bad_destination"
UNENCODABLE = "unencodable"
BAD_SIGNATURE = "bad_signature"
SIGNATURE_EXPIRED = "signature_expired"
PREPROCESS_FAILED = "preprocess_failed"

NO_ROUTE = "no_route"
METHOD_NOT_ALLOWED = "method_not_allowed"
PATH_TOO_LONG = "path_too_long"
QUERY_TOO_LONG = "query_too_long"
TOO_MANY_PARAMETERS = "too_many_parameters"
BODY_TOO_LARGE = "body_too_large"
BODY_TIMEOUT = "body_timeout"
EVENT_TOO_LARGE = "event_too_large"
RING_FULL = "ring_full"
JOURNAL_UNWRITABLE = "journal_unwritable"
NO_SLOT = "no_slot"
NOT_DURABLE = "not_durable"
BAD_LANE_LIMIT = "bad_lane_limit"
SHED = "shed"
MALFORMED_REQUEST = "malformed_request"
HEAD_TOO_LARGE = "head_too_large"
PENALISED = "penalised"

HEAD = "head"
PREFETCH = "prefetch"
GPC = "gpc"
CLEANED = "cleaned"
CUT = "cut"
REPEATED_PARAMETER = "repeated_parameter"
MACRO_UNREPLACED = "macro_unreplaced"
INVALID_CLIENT_ID = "invalid_client_id"
CLIENT_TIME_REJECTED = "client_time_rejected"
UNAUTHENTICATED = "unauthenticated"
BOT = "bot"
DNT = "dnt"
AUDIT = "audit"
UNKNOWN_VALUE = "unknown_value"
SERVER_SIDE = "server_side"
TEST = "test"

REASONS: tuple[Reason, ...] = (
    Reason(MISSING_FIELD, "bad", "A required field is absent: look at the tag's parameters."),
    Reason(INVALID_FIELD, "bad", "A field cannot be read as its type, such as a price that is no number."),
    Reason(INVALID_EVENT_NAME, "bad", "The event's name is empty, too long, or has characters beyond letters, digits and `_ . $ : -`."),
    Reason(INVALID_BODY, "bad", "The body is not what the route reads: a JSON object or a form, in UTF-8."),
    Reason(BODY_TOO_COMPLEX, "bad", "The body is nested too deeply, has too many values, or a number out of range."),
    Reason(BAD_DESTINATION, "bad", "The redirect's destination is not a plain http(s) URL of a host that the route allows, and it is not signed."),
    Reason(UNENCODABLE, "bad", "The event could not be written as JSON; the tracker should have cleaned it: please report it."),
    Reason(BAD_SIGNATURE, "bad", "The destination's signature is none of ours: changed, cut, or made with a key that is no longer known."),
    Reason(SIGNATURE_EXPIRED, "bad", "The destination's signature was good until a time that has passed: sign the link anew."),
    Reason(PREPROCESS_FAILED, "bad", "A transform of `preprocess` raised an error: look at the capture log."),
    Reason(NO_ROUTE, "refused", "No route has this path: 404."),
    Reason(METHOD_NOT_ALLOWED, "refused", "The route does not take this method: 405."),
    Reason(PATH_TOO_LONG, "refused", "The path is longer than `limits.max_path_bytes`: 414."),
    Reason(QUERY_TOO_LONG, "refused", "The query string is longer than `limits.max_query_bytes`: 414."),
    Reason(TOO_MANY_PARAMETERS, "refused", "More parameters than `limits.max_query_parameters`: 400."),
    Reason(BODY_TOO_LARGE, "refused", "The body is larger than `limits.max_body_bytes`: 413."),
    Reason(BODY_TIMEOUT, "refused", "The body ended early or did not arrive in time: 400 or 408."),
    Reason(EVENT_TOO_LARGE, "refused", "The event's line does not fit into an empty ring: 413."),
    Reason(RING_FULL, "refused", "The journal does not keep up and the ring is full: 503."),
    Reason(JOURNAL_UNWRITABLE, "refused", "The journal cannot be written (disk full, I/O error): 503 until it can."),
    Reason(NO_SLOT, "refused", "This worker has no ring (see its log): 503 until it has one."),
    Reason(NOT_DURABLE, "refused", "`ack: power` was due and the sync failed or took too long: the outcome is unknown, no reply is sent."),
    Reason(BAD_LANE_LIMIT, "refused", "More bad events than `limits.max_bad_events_per_second` or more bytes of them: answered, counted, not kept."),
    Reason(SHED, "refused", "The ring is nearly full, and what is left is for routes of a higher `priority`: 503."),
    Reason(MALFORMED_REQUEST, "refused", "What came is no HTTP that two readers would understand alike: 400, and the connection is closed."),
    Reason(HEAD_TOO_LARGE, "refused", "The headers of a request are longer than the door takes: 431."),
    Reason(PENALISED, "refused", "A new connection from an address that keeps sending what is no request of ours: 429, unread."),
    Reason(HEAD, "flag", "A HEAD request: somebody looked without loading. Never billed."),
    Reason(PREFETCH, "flag", "The browser fetched ahead of the person (`Purpose`, `Sec-Purpose`, `X-Moz`). Never billed."),
    Reason(GPC, "flag", "The person asked not to be tracked (`Sec-GPC: 1`)."),
    Reason(CLEANED, "flag", "Characters that no log can hold (control characters, broken UTF-8) were replaced by U+FFFD."),
    Reason(CUT, "flag", "A text was longer than allowed and was cut."),
    Reason(REPEATED_PARAMETER, "flag", "A parameter came more than once; the first value was taken."),
    Reason(MACRO_UNREPLACED, "flag", "A field held an ad-server macro that nobody replaced, such as `${AUCTION_PRICE}`; it counts as absent."),
    Reason(INVALID_CLIENT_ID, "flag", "The client's event id was not valid; the tracker made one."),
    Reason(CLIENT_TIME_REJECTED, "flag", "The client's time was unreadable or too far from ours; `timestamp` is `received_at`."),
    Reason(UNAUTHENTICATED, "flag", "No keys are configured: nobody proved who sent this."),
    Reason(BOT, "flag", "The user agent calls itself a robot, or is a known link scanner or preview. Never billed."),
    Reason(DNT, "flag", "The person asked not to be tracked (`DNT: 1`)."),
    Reason(AUDIT, "flag", "A price of `AUDIT`: a test render (OpenRTB 2.6, 4.4). Never billed."),
    Reason(UNKNOWN_VALUE, "flag", "A field held an ad server's word for unknown: empty, or one of its `unknown` texts (-1, -2); it counts as absent."),
    Reason(SERVER_SIDE, "flag", "Sent by a listed server for a device (`clients.ssai_networks`)."),
    Reason(TEST, "flag", "A test, by its route's own word. Never billed."),
)

NEVER_BILLED = frozenset({HEAD, PREFETCH, BOT, AUDIT, TEST})
"""Flags of events that cost nothing: no ``cost_nanos``."""

BY_NAME: dict[str, Reason] = {reason.name: reason for reason in REASONS}
