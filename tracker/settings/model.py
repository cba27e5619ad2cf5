"""The settings as frozen Structs: one field a setting, its default, and its help as the docstring below it.

Rules
1. The unit is in the name (``_bytes``, ``_ms``, ``_s``, ``_chars``).
2. Unknown fields are errors. A default here is the only place where that default is written.
   A ``pattern`` comes with a ``description``: the words in which a mismatch is told.
3. The reference page is made from this file: a setting without a docstring turns CI red.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="a name: lower-case letters, digits and `_`, beginning with a letter, at most 64 characters",
    ),
]
"""Names of routes, fields, collectors: lower case, digits, underscore; at most 64."""


KeyId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="a key id: 1 to 32 letters, digits, `_` or `-`")
]
Secret = Annotated[str, Meta(min_length=16)]


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings Structs."""


class Limits(Frozen, frozen=True):
    """What one hit may bring. Beyond it the hit is refused in the request, and counted."""

    max_path_bytes: Positive = 2048
    """Longest request path, in bytes as received; more is a 414."""
    max_query_bytes: Positive = 8192
    """Longest query string, in bytes as received; more is a 414."""
    max_query_parameters: Positive = 128
    """Most parameters in one query string or form."""
    max_body_bytes: Positive = 1_048_576
    """Largest request body; more is a 413, decided from ``Content-Length`` where there is one."""
    max_json_depth: Positive = 32
    """Deepest nesting of a JSON body."""
    max_json_values: Positive = 10_000
    """Most values (keys and items, counted together) in a JSON body."""
    max_text_chars: Positive = 1024
    """Longest text of a dimension or context field unless its route says otherwise; longer is cut and flagged."""
    max_bad_requests: Natural = 100
    """Requests that no route can mean (no HTTP, no such path or method) which an address may send at once, beside five a second; then it is not heard for a while (the fast door). 0: nobody is penalised."""
    max_bad_events_per_second: Natural = 100
    """Bad-lane events kept a second in each worker; beyond it they are counted only."""
    max_bad_bytes_per_second: Natural = 262_144
    """Bytes of bad-lane events kept a second in each worker; beyond it they are counted only."""


class Ring(Frozen, frozen=True):
    """The memory-mapped ring between the request and the journal."""

    bytes_per_worker: Annotated[int, Meta(ge=1_048_576)] = 67_108_864
    """Ring space of one worker, divided among its threads; written full of zeros once."""
    max_slots: Annotated[int, Meta(ge=1, le=4096)] = 256
    """Most rings on this data folder at once."""


class Journal(Frozen, frozen=True):
    """The append-only segment files: the truth."""

    sync_interval_ms: Annotated[int, Meta(ge=1, le=60_000)] = 200
    """Longest time between two fdatasyncs while there is something to sync: what a power cut may cost at ``ack: process``."""
    segment_bytes: Annotated[int, Meta(ge=65_536)] = 67_108_864
    """A segment is closed at the first newline past this size."""
    segment_age_s: Annotated[int, Meta(ge=1)] = 3600
    """A segment is closed at the first write past this age, so that the age limit has something to remove."""
    max_bytes: Positive = 21_474_836_480
    """Hard limit of the whole journal; beyond it the oldest segments go (see ``on_limit`` of each collector)."""
    max_age_s: Positive = 604_800
    """Hard age limit of a segment: 7 days."""


class Clients(Frozen, frozen=True):
    """Whose word about the client is taken: who stands between a person and the tracker."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks of your own proxies and balancers. From them the address is the right-most one in ``proxy_header`` that is not a trusted proxy itself; from anybody else it is the connection's."""
    proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """Which header your proxies write."""
    proxy_protocol: bool = False
    """Connections from ``trusted_proxies`` begin with a PROXY protocol header (HAProxy, AWS NLB; version 1 or 2)."""
    ssai_networks: tuple[str, ...] = ()
    """Networks of servers that insert ads and send pixels for devices (VAST 4.3, 1.3.6): from them ``X-Device-IP``, ``X-Device-User-Agent``, ``X-Device-Referer`` and ``X-Device-Accept-Language`` are taken, and the event is flagged ``server_side``."""


class Collector(Frozen, frozen=True):
    """One destination of events."""

    type: str
    """Entry point name of the collector, such as ``log``."""
    events: tuple[str, ...] = ("*",)
    """Event names it takes; ``*`` stands for any run of characters."""
    lanes: tuple[Literal["good", "bad"], ...] = ("good",)
    """Lanes it takes."""
    on_limit: Literal["expire", "refuse"] = "expire"
    """When it lags behind the journal's hard limits: give the range up, counted and listed (``expire``), or stop saying yes to hits (``refuse``)."""
    options: dict[str, Any] = {}
    """The collector's own options, checked by its own type."""


class Tracker(Frozen, frozen=True):
    """``tracker.yaml``."""

    version: Literal[1] = 1
    """Version of this file's format."""
    bind: str = "127.0.0.1:8000"
    """``host:port`` for hits. A public address is a deliberate choice: everything binds to loopback by default."""
    data_dir: str = "var"
    """Folder of rings, journal, cursors and logs; relative to where the tracker is started."""
    workers: Natural = 0
    """Capture processes; 0 means one a core."""
    door: Literal["fast", "portable"] = "fast"
    """Who reads requests: the tracker's own worker (``fast``: Linux, one epoll loop), or gunicorn's threads (``portable``)."""
    threads: Annotated[int, Meta(ge=1, le=64)] = 4
    """Request threads of a worker (the portable door)."""
    graceful_timeout_s: Annotated[int, Meta(ge=1, le=300)] = 10
    """Longest time to finish at a stop."""
    environment: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="1 to 64 letters, digits, dots, `_` or `-`"),
    ] = "production"
    """Written into each event as ``environment``."""
    status_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that may read the ``/-/`` pages beside health and readiness."""
    public_without_keys: bool = False
    """Bind to a public address although routes with ``access: key`` would let anybody in: their events are flagged ``unauthenticated``."""
    signing_keys: dict[Name, dict[KeyId, Secret]] = {}
    """Key rings for signed redirects (``signed_by``), by name: key id to secret, best from the environment (``${CLICKS_2026A}``). The first signs, all of them are accepted: rotate by adding one in front and removing the last."""
    clients: Clients = Clients()
    limits: Limits = Limits()
    ring: Ring = Ring()
    journal: Journal = Journal()
    collectors: dict[Name, Collector] = {}
    """Destinations by name."""


As = Literal[
    "text", "macro", "integer", "number", "boolean", "money", "time", "host", "url", "language", "vast_event", "list"
]


class Field(Frozen, frozen=True, rename={"from_": "from", "as_": "as"}):
    """One dimension or metric of a route."""

    from_: str | tuple[str, ...] = ()
    """``path.NAME``, ``query.NAME``, ``header.NAME``, ``cookie.NAME``, ``body.NAME`` (a field of the form or JSON object) or ``body/a/0/b`` (a JSON Pointer, RFC 6901); of a list, the first present wins."""
    as_: As = "text"
    """How it is read. Dimensions take text, macro, boolean, time, host, url, language, vast_event, list; metrics take integer, number, boolean, money, time."""
    const: str | None = None
    """A fixed value instead of ``from``."""
    default: str | None = None
    """Used when nothing is present."""
    required: bool = False
    """A hit without it goes to the bad lane."""
    max_length: Positive | None = None
    """Longest text in characters; longer is cut and flagged."""
    lower: bool = False
    """Lower-case the text."""
    pattern: str | None = None
    """A regular expression (RE2) that the whole text must match, after ``lower``; what does not goes to the bad lane."""
    unknown: tuple[str, ...] = ("-1", "-2")
    """Texts that mean "unknown" (VAST's -1 and -2): they count as absent and are flagged, as empty ones do. Write ``[]`` where they are values."""
    unit: Literal["cpm", "each"] = "each"
    """Money only: the price of a thousand, or of this one event."""
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="three capital letters, such as `EUR`")] = "USD"
    """Money only: ISO 4217 code."""
    cost: bool = False
    """Money only: also gives ``metrics.cost_nanos``, what this one event costs."""


class Redirect(Frozen, frozen=True):
    """A 302 to a destination that the route allows."""

    to: str
    """Where the destination comes from (``query.url``, ``body.url``), or a stored one (``https://shop.example/{campaign}?click={click_id}``). In either, ``{click_id}`` and ``{NAME}`` of a dimension behind the host are replaced, percent-encoded."""
    allow: tuple[str, ...] = ()
    """Hosts a destination from the hit may have: ``example.com``, ``*.shop.example``, with ``:port`` if it is not the scheme's own."""
    signed_by: str | None = None
    """Name of the key ring (``signing_keys``) whose signatures let a destination pass whatever its host; made by ``tracker sign-url``."""
    add: dict[str, str] = {}
    """Query parameters to add to the destination: ``event.id`` or ``dimensions.NAME``."""
    otherwise: str | None = None
    """Where to send a person whose destination is refused; without it the answer is a 400."""
    referrer_policy: Literal["no-referrer", "origin", "strict-origin", "unsafe-url"] = "no-referrer"
    """What the landing page learns of the page before: by default nothing."""


class Fixed(Frozen, frozen=True):
    """A reply of your own, the same for every hit."""

    status: Annotated[int, Meta(ge=200, le=299)] = 200
    """HTTP status."""
    content_type: str = "text/plain; charset=utf-8"
    """``Content-Type``; left out with an empty body."""
    body: str = ""
    """Sent as UTF-8."""
    headers: dict[str, str] = {}
    """Further headers."""


class LongReply(Frozen, frozen=True):
    """The long form of a reply: exactly one of these."""

    redirect: Redirect | None = None
    """Answer 302."""
    fixed: Fixed | None = None
    """Answer with this, whatever the hit holds."""


class Cookie(Frozen, frozen=True):
    """A first-party id cookie: opt-in, never set or read for a person who opted out (``Sec-GPC``, ``DNT``)."""

    name: Annotated[
        str, Meta(pattern=r"^__Host-[A-Za-z0-9_-]{1,56}$", description="`__Host-` and up to 56 letters, digits, `_` or `-`")
    ] = "__Host-tid"
    """Its name. ``__Host-`` ties it to this host and to https (RFC 6265bis, 4.1.3.2)."""
    into: Literal["anonymous_id", "device_id"] = "anonymous_id"
    """Which id of the event it becomes, unless the client names one itself."""
    max_age_days: Annotated[int, Meta(ge=1, le=400)] = 365
    """How long browsers keep it; they allow no more than 400 days. It is not renewed."""
    same_site: Literal["lax", "none"] = "lax"
    """``none`` also sends it from other sites' pages, as ad tags need it."""


class Privacy(Frozen, frozen=True):
    """What is kept of a person."""

    ip: Literal["truncate", "drop"] = "truncate"
    """``truncate`` keeps IPv4 /24 and IPv6 /48; ``drop`` keeps nothing."""
    gpc: Literal["anonymous", "ignore"] = "anonymous"
    """With ``Sec-GPC: 1``: ``anonymous`` keeps no address and no ids, only flags the event; ``ignore`` flags it."""
    dnt: Literal["anonymous", "ignore"] = "anonymous"
    """The same for ``DNT: 1``."""


Method = Literal["GET", "HEAD", "POST"]
Priority = Literal["low", "normal", "high"]
Access = Literal["open", "key"]
ReplyName = Literal["pixel", "no_content", "json"]
Flag = Literal["bot", "prefetch", "server_side", "test", "unauthenticated"]
Fields = dict[Name, str | Field]


class Defaults(Frozen, frozen=True):
    """What every route starts from."""

    methods: tuple[Method, ...] = ("GET", "HEAD")
    """HTTP methods."""
    ack: Literal["process", "power"] = "process"
    """What an answer promises: the event survives anything that kills processes, or also a power cut."""
    properties: Literal["none", "all"] | tuple[str, ...] = "none"
    """Which query, form or JSON fields become ``properties``: none, all, or the listed ones."""
    privacy: Privacy = Privacy()
    priority: Priority = "normal"
    """Who goes without first when the journal does not keep up: ``low`` from a ring three quarters full, ``normal`` from seven eighths, ``high`` when it is full."""
    preprocess: tuple[str, ...] = ()
    """Transforms of the query and the body before any field is read, in order, by the name of their entry point."""
    access: Access | None = None
    """Who may send: anybody (``open``), or who has a key (``key``). By default ``open`` where tags and links lead (pixel, redirect, fixed reply) and ``key`` for the rest. Without any keys everybody is let in and the event is flagged ``unauthenticated``."""


class FieldSet(Frozen, frozen=True):
    """Fields that several routes share."""

    dimensions: Fields = {}
    """Text fields by name."""
    metrics: Fields = {}
    """Number fields by name."""


class Route(Frozen, frozen=True):
    """One row of the routing table: a path, what its hits mean, and what comes back."""

    path: str
    """Path template: ``/imp/{campaign}/{creative}.gif``. A parameter may have a type: ``{id:integer}`` (digits), ``{id:hex}``, ``{id:word}`` (letters, digits, ``_`` and ``-``)."""
    reply: ReplyName | LongReply
    """What the client gets: a 1x1 GIF, 204, a verdict in JSON, a 302, or what you write yourself."""
    event: str | None = None
    """Event name, or ``path.NAME``; by default the route's name."""
    use: tuple[str, ...] = ()
    """Field sets to take in."""
    dimensions: Fields = {}
    """Text fields by name; they override those of ``use``."""
    metrics: Fields = {}
    """Number fields by name; they override those of ``use``."""
    methods: tuple[Method, ...] | None = None
    """HTTP methods; by default those of ``defaults``."""
    ack: Literal["process", "power"] | None = None
    """By default that of ``defaults``."""
    properties: Literal["none", "all"] | tuple[str, ...] | None = None
    """By default those of ``defaults``."""
    privacy: Privacy | None = None
    """By default that of ``defaults``."""
    priority: Priority | None = None
    """By default that of ``defaults``."""
    preprocess: tuple[str, ...] | None = None
    """By default those of ``defaults``."""
    access: Access | None = None
    """By default that of ``defaults``."""
    flags: tuple[Flag, ...] = ()
    """Flags that every event of this route bears: ``test`` for a route that never bills."""
    cookie: Cookie | None = None
    """A first-party id cookie; without it the tracker sets none. ``{}`` takes its defaults."""


class Routes(Frozen, frozen=True):
    """``routes.yaml``."""

    version: Literal[1] = 1
    """Version of this file's format."""
    include: tuple[str, ...] = ()
    """Other routing tables to take in, relative to this file, or built in (``presets/dsp.yaml``). Their defaults hold for their own routes; names must differ."""
    defaults: Defaults = Defaults()
    """What every route starts from."""
    field_sets: dict[Name, FieldSet] = {}
    """Fields that several routes share, by name."""
    routes: dict[Name, Route] = {}
    """The routes by name; their order never matters."""


class Settings(Frozen, frozen=True):
    """Everything, checked: what the processes are started with."""

    tracker: Tracker
    routes: Routes
    """The table with what it includes: one table, each route with its own file's defaults filled in."""
    version: str
    """First 12 hexadecimal digits of the SHA-256 of both, canonically encoded; shown in ``/-/readyz``."""
    warnings: tuple[str, ...] = ()
    """What is allowed and probably not meant, as a person should read it."""
