"""One mistake at a time in two right files: refused, with file, line, column, the setting's name and a way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from tracker.capture import routing
from tracker.delivery import registry
from tracker.settings.load import load
from tracker.settings.problems import Problem, SettingsError

MARK = "»"

# The files that the mistakes are made in: the built-in ones as they once were, so that a change of those breaks nothing.
RIGHT = {
    "tracker.yaml": """\
# yaml-language-server: $schema=tracker.schema.json
# Settings of the tracker. Later wins: this file, then TRACKER_... variables, then flags.
# Checked by `tracker check`. Every setting, with its default: docs/reference/settings.
version: 1
bind: 127.0.0.1:8000
data_dir: var
collectors:
  log:                        # good events, one JSON line each: var/log/events.ndjson
    type: log
    events: ["*"]
  bad:                        # hits that could not become a proper event, with the reason
    type: log
    lanes: [bad]
    options: {file: bad.ndjson}
""",
    "routes.yaml": """\
# yaml-language-server: $schema=routes.schema.json
# The routing table: which paths are tracked, what a hit means, what comes back.
# Checked by `tracker check`.
version: 1
defaults:                                   # a route overrides what it names
  methods: [GET, HEAD]
  ack: process                              # power: also survives a power cut
  properties: none                          # none | all | [names]
  privacy: {ip: truncate, gpc: anonymous}
field_sets:
  ad:
    dimensions:
      campaign: path.campaign
      creative: path.creative
      site: {from: [query.site, header.referer], as: host}   # first present wins
routes:                                     # keyed by name: order never matters, overlap is an error
  impression:                               # the event's name too, unless `event:` says otherwise
    path: /imp/{campaign}/{creative}.gif
    use: [ad]
    reply: pixel
    metrics:
      price: {from: query.price, as: money, unit: cpm, currency: USD, cost: true}
  click:
    path: /click/{campaign}/{creative}
    use: [ad]
    reply:
      redirect:
        to: query.url
        allow: [example.com, "*.shop.example"]
        add: {click_id: event.id}
        otherwise: https://example.com/     # omit for a 400
  spring:                                   # a stored destination
    path: /go/spring
    event: click
    reply: {redirect: {to: "https://shop.example/spring"}}
    dimensions: {campaign: {const: spring}}
  conversion:
    path: /conv/{campaign}.gif
    methods: [GET, POST]
    reply: pixel
    ack: power
    dimensions: {campaign: path.campaign, order: query.order, click: query.click_id}
    metrics:
      value: {from: [query.value, body.value], as: money, unit: each, currency: USD}
  video:
    path: /video/{campaign}/{creative}/{action}.gif
    use: [ad]
    reply: pixel
    dimensions: {action: {from: path.action, as: vast_event}}
    metrics: {watch_ms: {from: query.watch_ms, as: integer}}
  hit:
    path: /hit/{event}
    methods: [POST]
    event: path.event
    reply: no_content
    properties: all
""",
}  # fmt: skip


class Mistake(NamedTuple):
    """``old`` becomes ``new`` in one of the right files; ``new`` holds ``»`` where the problem must be located.

    ``beside`` are further files in the folder, by name; if one of them holds the ``»``, that is where.
    """

    file: str
    old: str
    new: str
    path: str
    message: str
    hint: str = ""
    beside: Mapping[str, str] = MappingProxyType({})


HIT = """\
  hit:
    path: /hit/{event}
    methods: [POST]
    event: path.event
    reply: no_content
    properties: all
"""
CONVERSION = """\
  conversion:
    path: /conv/{campaign}.gif
    methods: [GET, POST]
    reply: pixel
    ack: power
    dimensions: {campaign: path.campaign, order: query.order, click: query.click_id"""

MISTAKES = {
    # names
    "unknown field at the root": Mistake("tracker", "bind:", "»bnid:", "", "unknown field `bnid`", "did you mean `bind`?"),
    "dash for underscore": Mistake("tracker", "data_dir:", "»data-dir:", "", "unknown field `data-dir`", "`data_dir`"),
    "capital letter": Mistake("tracker", "bind:", "»Bind:", "", "unknown field `Bind`", "did you mean `bind`?"),
    "a name like no other": Mistake("tracker", "bind:", "»zzz:", "", "unknown field `zzz`", "known: version, bind, data_dir"),
    "a limit at the root": Mistake(
        "tracker", "data_dir: var", "»max_body_bytes: 5", "", "unknown field `max_body_bytes`", "it belongs under `limits:`"
    ),
    "unknown field of a collector": Mistake(
        "tracker", "lanes: [bad]", "»lane: [bad]", "collectors.bad", "unknown field `lane`", "did you mean `lanes`?"
    ),
    "unknown field of a reply": Mistake(
        "routes", "      redirect:\n        to: query.url", "      »redirct:\n        to: query.url",
        "routes.click.reply", "unknown field `redirct`", "did you mean `redirect`?",
    ),
    "unknown field in a flow mapping": Mistake(
        "routes", "as: vast_event", "»ass: vast_event", "routes.video.dimensions.action", "unknown field `ass`", "`as`"
    ),
    "routes as a list would be": Mistake(
        "routes", "use: [ad]\n    reply: pixel\n    metrics:\n      price", "»uses: [ad]\n    reply: pixel\n    metrics:\n      price",
        "routes.impression", "unknown field `uses`", "did you mean `use`?",
    ),
    "no path": Mistake("routes", "  hit:\n    path: /hit/{event}\n", "  »hit:\n", "routes.hit", "no `path`", "add `path:` and text"),
    "no type": Mistake("tracker", "  bad:                        # hits", "  »empty: {}\n  bad: # hits", "collectors.empty", "no `type`"),
    "route name with a capital": Mistake("routes", "  spring:", "  »Spring:", "routes.Spring", "is not a name: lower-case"),
    "route name with a dash": Mistake("routes", "  spring:", "  »spring-sale:", "routes.spring-sale", "is not a name: lower-case"),
    "the same key twice": Mistake(
        "tracker", "data_dir: var", "data_dir: var\n»bind: 127.0.0.1:9000", "", "`bind` a second time", "the first is in line 5"
    ),
    "the same route twice": Mistake("routes", "  hit:\n", "  »click:\n", "routes", "`click` a second time"),
    # types
    "a number for text": Mistake("tracker", "127.0.0.1:8000", "»8000", "bind", "expected text; YAML reads `8000` as a number", '"8000"'),
    "base sixty": Mistake("tracker", "127.0.0.1:8000", "»1:30", "bind", "YAML reads `1:30` as the number 90", 'quote it: "1:30"'),
    "octal": Mistake("tracker", "data_dir: var", "data_dir: »0123", "data_dir", "YAML reads `0123` as the number 83", '"0123"'),
    "on": Mistake("tracker", "data_dir: var", "data_dir: »on", "data_dir", "YAML reads `on` as true", 'quote it: "on"'),
    "no": Mistake("tracker", "data_dir: var", "environment: »no", "environment", "YAML reads `no` as false", 'quote it: "no"'),
    "a tilde": Mistake("tracker", "data_dir: var", "data_dir: »~", "data_dir", "YAML reads `~` as nothing", 'quote it: "~"'),
    "a float": Mistake("tracker", "data_dir: var", "data_dir: »1.5", "data_dir", "YAML reads `1.5` as a number"),
    "a date": Mistake("routes", "{const: spring}", "{const: »2024-05-01}", "routes.spring.dimensions.campaign.const", "as a date", '"2024-05-01"'),
    "a year": Mistake("routes", "{const: spring}", "{const: »2024}", "routes.spring.dimensions.campaign.const", "as a number", '"2024"'),
    "a year as field": Mistake("routes", "order: query.order", "order: »2024", "routes.conversion.dimensions.order", "expected text or a mapping; YAML"),
    "on as key": Mistake("routes", "order: query.order", "»on: query.order", "routes.conversion.dimensions", "YAML reads the key `on` as true", '"on"'),
    "a number as key": Mistake("routes", "order: query.order", "»1: query.order", "routes.conversion.dimensions", "the key `1` as a number"),
    "no event": Mistake("routes", "    event: path.event", "    event: »no", "routes.hit.event", "YAML reads `no` as false"),
    "text for a list": Mistake("routes", "[GET, POST]", "»POST", "routes.conversion.methods", "expected a list, got text `POST`", "write [POST]"),
    "text for a number": Mistake("tracker", "data_dir: var", "workers: »many", "workers", "expected an integer of at least 0, got text `many`"),
    "a quoted number": Mistake("tracker", "data_dir: var", 'workers: »"4"', "workers", "got text `4`", "without the quotes"),
    "a broken number": Mistake("tracker", "data_dir: var", "workers: »1.5", "workers", "expected an integer of at least 0, got the number `1.5`"),
    "an octal number": Mistake("tracker", "data_dir: var", "workers: »010", "workers", "YAML reads `010` as the number 8", "write 8"),
    "a duration": Mistake("tracker", "data_dir: var", "graceful_timeout_s: »1:30", "graceful_timeout_s", "as the number 90", "write 90"),
    "true for a number": Mistake("tracker", "data_dir: var", "workers: »true", "workers", "got `true`"),
    "a mapping for text": Mistake("tracker", "data_dir: var", "»data_dir: {a: b}", "data_dir", "expected text, got a mapping"),
    "a list for a mapping": Mistake("tracker", "data_dir: var", "limits: »[]", "limits", "expected a mapping, got a list"),
    "a section without its settings": Mistake("tracker", "data_dir: var", "»limits:", "limits", "expected a mapping, got nothing", "leave it out"),
    "maybe": Mistake("routes", "cost: true", "cost: »maybe", "routes.impression.metrics.price.cost", "expected true or false, got text `maybe`"),
    "a list in a list": Mistake("routes", "[query.site, header.referer]", "[»[query.site], header.referer]", "field_sets.ad.dimensions.site.from[0]", "expected text, got a list"),
    # values
    "a version of the future": Mistake("tracker", "version: 1", "version: »2", "version", "expected `1`, got the number `2`"),
    "a wrong word": Mistake("routes", "ack: power", "ack: »powr", "routes.conversion.ack", "expected `power` or `process`, got text `powr`", "did you mean `power`?"),
    "a word for a mapping": Mistake("routes", "reply: no_content", "reply: »nocontent", "routes.hit.reply", "expected `json`, `no_content`, `pixel` or a mapping", "did you mean `no_content`?"),
    "a word for a list": Mistake("routes", "properties: all", "properties: »al", "routes.hit.properties", "expected `all`, `none` or a list", "did you mean `all`?"),
    "off": Mistake("routes", "ip: truncate", "ip: »off", "defaults.privacy.ip", "YAML reads `off` as false", 'quote it: "off"'),
    "a small method": Mistake("routes", "[GET, POST]", "[GET, »post]", "routes.conversion.methods[1]", "got text `post`", "did you mean `POST`?"),
    "a wrong lane": Mistake("tracker", "lanes: [bad]", "lanes: [»baad]", "collectors.bad.lanes[0]", "expected `bad` or `good`", "did you mean `bad`?"),
    "too small": Mistake("tracker", "data_dir: var", "threads: »0", "threads", "expected an integer between 1 and 64, got the number `0`"),
    "too large": Mistake("tracker", "data_dir: var", "threads: »65", "threads", "expected an integer between 1 and 64"),
    "negative": Mistake("tracker", "data_dir: var", "workers: »-1", "workers", "expected an integer of at least 0, got the number `-1`"),
    "beyond 64 bit": Mistake("tracker", "data_dir: var", "workers: »9223372036854775808", "workers", "is too large"),
    "beyond all bits": Mistake("tracker", "data_dir: var", f"workers: »{'9' * 5000}", "workers", "is a number too large"),
    "a currency": Mistake("routes", "unit: cpm, currency: USD", "unit: cpm, currency: »usd", "routes.impression.metrics.price.currency", "`usd` is not three capital letters"),
    "an environment": Mistake("tracker", "data_dir: var", "environment: »my prod", "environment", "`my prod` is not 1 to 64 letters"),
    "a line break at the end": Mistake("tracker", "data_dir: var", "data_dir: »|\n  var", "data_dir", "holds a control character", "write it in one line"),
    "a control character": Mistake("tracker", "data_dir: var", 'data_dir: »"v\\0r"', "data_dir", "holds a control character"),
    # sense
    "no port": Mistake("tracker", "127.0.0.1:8000", "»127.0.0.1", "bind", "`127.0.0.1` is not `host:port`", "such as `127.0.0.1:8000`"),
    "a port too large": Mistake("tracker", "127.0.0.1:8000", "»127.0.0.1:65536", "bind", "`65536` is no port: 0 to 65535"),
    "no host": Mistake("tracker", "127.0.0.1:8000", '»":8000"', "bind", "names no host", "`0.0.0.0:8000` for every interface"),
    "a star for a host": Mistake("tracker", "127.0.0.1:8000", '»"*:8000"', "bind", "`*` is no host"),
    "an address of three": Mistake("tracker", "127.0.0.1:8000", "»127.0.1:8000", "bind", "`127.0.1` is no IPv4 address"),
    "IPv6 without brackets": Mistake("tracker", "127.0.0.1:8000", '»"::1:8000"', "bind", "stands in brackets"),
    "an URL": Mistake("tracker", "127.0.0.1:8000", "»http://localhost:8000", "bind", "an IPv6 address stands in brackets"),
    "no folder": Mistake("tracker", "data_dir: var", 'data_dir: »""', "data_dir", "empty"),
    "host bits": Mistake("tracker", "data_dir: var", "status_networks: [»10.1.2.3/8]", "status_networks[0]", "is no network", "did you mean `10.0.0.0/8`?"),
    "a name for a network": Mistake("tracker", "data_dir: var", "status_networks: [10.0.0.0/8, »localhost]", "status_networks[1]", "is no network", "such as"),
    "a journal smaller than a segment": Mistake("tracker", "data_dir: var", "journal: {max_bytes: »100000}", "journal.max_bytes", "less than `segment_bytes`"),
    "a pattern for shells": Mistake("tracker", 'events: ["*"]', 'events: ["*", »"video?"]', "collectors.log.events[1]", "can match no event"),
    "no pattern": Mistake("tracker", 'events: ["*"]', "»events: []", "collectors.log.events", "not one event"),
    "no lane": Mistake("tracker", "lanes: [bad]", "»lanes: []", "collectors.bad.lanes", "not one lane"),
    # YAML
    "a tab": Mistake("tracker", "  log: ", "»\tlog: ", "", "a tab; YAML wants spaces"),
    "a star without quotes": Mistake("tracker", '["*"]', "[»*]", "collectors.log.events[0]", "not YAML", 'must be quoted: "*..."'),
    "a domain's star without quotes": Mistake("routes", '"*.shop.example"', "»*.shop.example", "routes.click.reply.redirect.allow[1]", "not YAML", "must be quoted"),
    "a name's star without quotes": Mistake("tracker", '["*"]', "[»*click]", "collectors.log.events[0]", "unknown alias `*click`", 'must be quoted: "*click"'),
    "an at sign": Mistake("tracker", "data_dir: var", "data_dir: »@var", "data_dir", "not YAML", "must be quoted"),
    "a template in a flow mapping": Mistake("routes", "/hit/{event}\n", "/hit/{event}\n    privacy: {ip: /x/»{event}}\n", "routes.hit.privacy", "not YAML", "quote text that holds"),
    "a colon in text": Mistake("tracker", "data_dir: var", "data_dir: a»: b", "", "not YAML: mapping values", "quote text that holds `: `"),
    "a bracket left open": Mistake("routes", "use: [ad]\n    reply: pixel\n    metrics:\n      price", "use: [ad\n    reply»: pixel\n    metrics:\n      price", "", "not YAML", ""),
    "a tag": Mistake("tracker", "data_dir: var", "data_dir: »!!python/object/apply:os.system [id]", "data_dir", "unknown tag `!!python/object/apply:os.system`"),
    "a tag of one's own": Mistake("tracker", "data_dir: var", "data_dir: »!env HOME", "data_dir", "unknown tag `!env`", "remove it"),
    "a merge": Mistake("tracker", "data_dir: var", "»<<: {workers: 1}", "", "merge keys are not read"),
    "a second document": Mistake("tracker", "data_dir: var", "»---\ndata_dir: var", "", "a second document"),
    "a missing variable": Mistake("tracker", "data_dir: var", "data_dir: /srv/»${NO_SUCH}/x", "data_dir", "environment variable `NO_SUCH` is not set", "${NAME:-default}"),
    "an ad macro": Mistake("routes", "to: query.url", "to: https://x.example/?p=»${AUCTION_PRICE}", "routes.click.reply.redirect.to", "`AUCTION_PRICE` is not set", "write `$${`"),
    "half a variable": Mistake("tracker", "data_dir: var", "data_dir: x»${HOME", "data_dir", "`${` is not followed by a variable's name"),
    "a line separator": Mistake("tracker", "data_dir: var", "data_dir: va»\u2028r", "", "U+2028 breaks lines invisibly"),
    "a bell": Mistake("tracker", "data_dir: var", "data_dir: va»\x07r", "", "U+0007 does not belong"),
    # tracker.yaml: who may come, and what is dangerous
    "a public bind": Mistake("tracker", "127.0.0.1:8000", "»0.0.0.0:8000", "bind", "a public address, and no key guards `hit`", "public_without_keys"),
    "a public bind on IPv6": Mistake("tracker", "127.0.0.1:8000", "»'[::]:8000'", "bind", "a public address, and no key guards `hit`", "access: open"),
    "a public name": Mistake("tracker", "127.0.0.1:8000", "»tracker.example:8000", "bind", "a public address"),
    "a proxy's host bits": Mistake("tracker", "data_dir: var", "clients: {trusted_proxies: [»10.1.2.3/8]}", "clients.trusted_proxies[0]", "is no network", "`10.0.0.0/8`"),
    "everybody's word": Mistake("tracker", "data_dir: var", "clients: {trusted_proxies: [10.0.0.0/8, »0.0.0.0/0]}", "clients.trusted_proxies[1]", "the whole internet"),
    "everybody's word on IPv6": Mistake("tracker", "data_dir: var", "clients: {trusted_proxies: [»'::/0']}", "clients.trusted_proxies[0]", "the whole internet"),
    "everybody in two halves": Mistake("tracker", "data_dir: var", "clients: {»trusted_proxies: [0.0.0.0/1, 128.0.0.0/1]}", "clients.trusted_proxies", "the whole internet"),
    "everybody as an ad server": Mistake("tracker", "data_dir: var", "clients:\n  ssai_networks:\n  - »0.0.0.0/0", "clients.ssai_networks[0]", "the whole internet"),
    "a PROXY header from nobody": Mistake("tracker", "data_dir: var", "clients: {proxy_protocol: »true}", "clients.proxy_protocol", "nobody may send a PROXY header"),
    "a header of nobody's proxy": Mistake("tracker", "data_dir: var", "clients: {proxy_header: »x-real-ip}", "clients.proxy_header", "expected `forwarded` or `x-forwarded-for`"),
    "yes in quotes": Mistake("tracker", "data_dir: var", 'public_without_keys: »"yes"', "public_without_keys", "expected true or false, got text `yes`"),
    "an empty key ring": Mistake("tracker", "data_dir: var", "signing_keys: {»clicks: {}}", "signing_keys.clicks", "a key ring without a key"),
    "a short secret": Mistake("tracker", "data_dir: var", "signing_keys: {clicks: {k1: »fifteen-letters}}", "signing_keys.clicks.k1", "is shorter than 16 characters"),
    "a placeholder": Mistake("tracker", "data_dir: var", "signing_keys: {clicks: {k1: »change-me-please-now}}", "signing_keys.clicks.k1", "a placeholder", "openssl rand -hex 32"),
    "one letter": Mistake("tracker", "data_dir: var", "signing_keys: {clicks: {k1: »zzzzzzzzzzzzzzzzzzzzzz}}", "signing_keys.clicks.k1", "a placeholder"),
    "a secret of digits": Mistake("tracker", "data_dir: var", "signing_keys: {clicks: {k1: »31415926535897932}}", "signing_keys.clicks.k1", "YAML reads `***` as a number"),
    "a key id with blanks": Mistake("tracker", "data_dir: var", "signing_keys: {clicks: {»key one: x7Gq2mWz9Lt4RbV8}}", 'signing_keys.clicks."key one"', "`key one` is not a key id"),
    "a missing secret": Mistake("tracker", "data_dir: var", "signing_keys: {clicks: {k1: '»${NO_SUCH}'}}", "signing_keys.clicks.k1", "environment variable `NO_SUCH` is not set"),
    "an unknown option": Mistake("tracker", "options: {file: bad.ndjson}", "options: {fil: »bad.ndjson}", "collectors.bad.options.fil", "unknown option `fil`", "did you mean `file`?"),
    "an unknown collector": Mistake("tracker", "type: log\n    events", "type: »lgo\n    events", "collectors.log.type", "unknown collector type `lgo`", "did you mean `log`?"),
    # routes.yaml: includes
    "a missing table": Mistake("routes", "version: 1", "version: 1\ninclude: [»shared.yaml]", "include[0]", "`shared.yaml`: no such file", "it is looked for as"),
    "a preset that is none": Mistake("routes", "version: 1", "version: 1\ninclude: [»presets/dps.yaml]", "include[0]", "no such file", "did you mean `presets/dsp.yaml`"),
    "a preset out of its folder": Mistake("routes", "version: 1", "version: 1\ninclude: [»presets/../routes.yaml.yaml]", "include[0]", "no such file"),
    "one table for a list": Mistake("routes", "version: 1", "version: 1\ninclude: »presets/dsp.yaml", "include", "expected a list, got text", "write [presets/dsp.yaml]"),
    "a table that includes itself": Mistake("routes", "version: 1", "version: 1\ninclude: [»routes.yaml]", "include[0]", "includes itself: "),
    "tables in a circle": Mistake("routes", "version: 1", "version: 1\ninclude: [a.yaml]", "include[0]", "includes itself: ", "", {"a.yaml": "include: [b.yaml]", "b.yaml": "version: 1\ninclude: [»a.yaml]"}),
    "a table twice": Mistake("routes", "version: 1", "version: 1\ninclude: [a.yaml, »./a.yaml]", "include[1]", "`./a.yaml` a second time", "", {"a.yaml": "version: 1"}),
    "a route of another file": Mistake("routes", HIT, f"  »{HIT.strip()}\ninclude: [a.yaml]\n", "routes.hit", "`hit` a second time", "a.yaml:2: names must differ", {"a.yaml": "routes:\n  hit: {path: /other, reply: pixel}"}),
    "a field set of another file": Mistake("routes", "field_sets:\n  ad:\n", "include: [a.yaml]\nfield_sets:\n  »ad:\n", "field_sets.ad", "`ad` a second time", "a.yaml:1: names must differ", {"a.yaml": "field_sets: {ad: {}}"}),
    "a mistake in an included file": Mistake("routes", "version: 1", "version: 1\ninclude: [a.yaml]", "routes.a", "unknown field `repyl`", "did you mean `reply`?", {"a.yaml": "routes:\n  a:\n    path: /a\n    »repyl: pixel\n"}),
    "no YAML in an included file": Mistake("routes", "version: 1", "version: 1\ninclude: [a.yaml]", "", "a tab; YAML wants spaces", "", {"a.yaml": "routes:\n»\ta: x\n"}),
    "an empty included file": Mistake("routes", "version: 1", "version: 1\ninclude: [a.yaml]", "", "the file is empty", "", {"a.yaml": "»# to be written\n"}),
    "a missing variable in an included file": Mistake("routes", "version: 1", "version: 1\ninclude: [a.yaml]", "routes.a.event", "`NO_SUCH` is not set", "", {"a.yaml": "routes: {a: {path: /a, reply: pixel, event: '»${NO_SUCH}'}}"}),
    "an included path that overlaps": Mistake("routes", HIT, HIT.replace("/hit", "»/hit") + "include: [a.yaml]\n", "routes.hit.path", "overlaps route `a` (/hit/it)", "", {"a.yaml": "routes: {a: {path: /hit/it, reply: pixel}}"}),
    "a default of an included file": Mistake("routes", "version: 1", "version: 1\ninclude: [a.yaml]", "defaults.methods", "at least one method", "", {"a.yaml": "defaults: {»methods: []}\nroutes: {a: {path: /a, reply: pixel}, b: {path: /b, reply: pixel}}"}),
    # routes.yaml: paths and what a hit may say
    "a parameter of unknown type": Mistake("routes", "/conv/{campaign}.gif", "»/conv/{campaign:int}.gif", "routes.conversion.path", "int"),
    "a path without its slash": Mistake("routes", "/conv/{campaign}.gif", "»conv/{campaign}.gif", "routes.conversion.path", "begins with `/`"),
    "a query in a path": Mistake("routes", "/conv/{campaign}.gif", "»/conv/{campaign}.gif?x=1", "routes.conversion.path", "no spaces"),
    "a path that no client sends": Mistake("routes", "/go/spring", "»/go/../spring", "routes.spring.path", "no client sends `..`"),
    "the tracker's own path": Mistake("routes", "/go/spring", "»/-/spring", "routes.spring.path", "the tracker's own"),
    "two routes for one path": Mistake("routes", "/go/spring", "»/click/a/{b}", "routes.spring.path", "overlaps route `click`"),
    "a parameter that is not there": Mistake("routes", "event: path.event", "event: »path.name", "routes.hit.event", "no parameter `name` in /hit/{event}", ""),
    "an event name with a blank": Mistake("routes", "    event: click", '    event: »"a click"', "routes.spring.event", "an event name has"),
    "an unknown field set": Mistake("routes", "use: [ad]\n    reply: pixel\n    dimensions", "use: [»ads]\n    reply: pixel\n    dimensions", "routes.video.use[0]", "unknown field set `ads`", "did you mean `ad`?"),
    "an unknown source": Mistake("routes", "order: query.order", "order: »querry.order", "routes.conversion.dimensions.order", "is no source", "did you mean `query`?"),
    "a personal header": Mistake("routes", "order: query.order", "order: »header.authorization", "routes.conversion.dimensions.order", "holds a full address or a secret"),
    "a whole cookie header": Mistake("routes", "order: query.order", "order: »header.cookie", "routes.conversion.dimensions.order", "holds a full address or a secret", "`cookie.NAME`"),
    "a cookie name with a blank": Mistake("routes", "order: query.order", 'order: »"cookie.my id"', "routes.conversion.dimensions.order", "is no cookie name"),
    "a pointer without its slash": Mistake("routes", "order: query.order", "order: »body~order", "routes.conversion.dimensions.order", "is no source"),
    "a body without a POST": Mistake("routes", "watch_ms: {from: query.watch_ms", "watch_ms: {from: »body.watch_ms", "routes.video.metrics.watch_ms.from", "takes no POST", "add `methods: [POST]`"),
    "an unknown type": Mistake("routes", "as: vast_event", "as: »vast_evnt", "routes.video.dimensions.action.as", "`vast_event`", "did you mean `vast_event`?"),
    "a number as dimension": Mistake("routes", "as: vast_event", "as: »integer", "routes.video.dimensions.action.as", "dimensions are text"),
    "text as metric": Mistake("routes", "as: integer", "as: »host", "routes.video.metrics.watch_ms.as", "metrics are integer"),
    "a broken pattern": Mistake("routes", "order: query.order", "order: {from: query.order, pattern: »'[a-z'}", "routes.conversion.dimensions.order.pattern", "is no regular expression"),
    "a look behind": Mistake("routes", "order: query.order", "order: {from: query.order, pattern: »'(?<=a)b'}", "routes.conversion.dimensions.order.pattern", "is no regular expression"),
    "a default for what is required": Mistake("routes", "order: query.order", "order: {from: query.order, default: none, required: »true}", "routes.conversion.dimensions.order.required", "never missing"),
    "a constant and a source": Mistake("routes", "    dimensions: {campaign: {const: spring}}", "    dimensions: {»campaign: {const: spring, from: query.c}}", "routes.spring.dimensions.campaign", "either `from` or `const`"),
    "neither constant nor source": Mistake("routes", "    dimensions: {campaign: {const: spring}}", "    dimensions: {»campaign: {lower: true}}", "routes.spring.dimensions.campaign", "either `from` or `const`"),
    "a default that is none": Mistake("routes", "as: integer", "as: integer, default: »many", "routes.video.metrics.watch_ms.default", "`many` cannot be read as integer"),
    "a length of nothing": Mistake("routes", "order: query.order", "order: {from: query.order, max_length: »0}", "routes.conversion.dimensions.order.max_length", "an integer of at least 1"),
    "unknown as a word": Mistake("routes", "order: query.order", "order: {from: query.order, unknown: »none}", "routes.conversion.dimensions.order.unknown", "expected a list", "write [none]"),
    "a unit for a number": Mistake("routes", "as: integer", "as: integer, unit: »cpm", "routes.video.metrics.watch_ms.unit", "only money has a unit"),
    "a cost that is no money": Mistake("routes", "as: integer", "as: integer, cost: »true", "routes.video.metrics.watch_ms.cost", "only money is a cost"),
    "a currency beside money": Mistake("routes", CONVERSION, f"  »{CONVERSION.strip()}, currency: query.cur", "routes.conversion", "dimension `currency` comes with the money fields"),
    "a field twice": Mistake("routes", "    ack: power", "    properties: [»order]", "routes.conversion.properties[0]", "is a field of the event already"),
    "an unknown transform": Mistake("routes", "    properties: all", "    preprocess: [»lower_name]", "routes.hit.preprocess[0]", "the transform `lower_name` is not installed", "did you mean `lower_names`?"),
    # routes.yaml: what comes back, and to whom
    "an open redirect": Mistake("routes", 'allow: [example.com, "*.shop.example"]', 'allow: [»"*"]', "routes.click.reply.redirect.allow[0]", "an open redirect", "signed_by"),
    "an open redirect among others": Mistake("routes", 'allow: [example.com, "*.shop.example"]', 'allow: [example.com, »"*.*"]', "routes.click.reply.redirect.allow[1]", "an open redirect"),
    "no hosts": Mistake("routes", 'query.url\n        allow: [example.com, "*.shop.example"]\n', "»query.url\n", "routes.click.reply.redirect.to", "which hosts?", "`signed_by`"),
    "an URL for a host": Mistake("routes", "allow: [example.com,", "allow: [»https://example.com,", "routes.click.reply.redirect.allow[0]", "example.com"),
    "an unknown key ring": Mistake("routes", "        add: {click_id: event.id}", "        signed_by: »clicks", "routes.click.reply.redirect.signed_by", "no key ring `clicks`", "signing_keys"),
    "a script as destination": Mistake("routes", '"https://shop.example/spring"', '»"javascript:alert(1)"', "routes.spring.reply.redirect.to", "http(s) URL"),
    "a macro in the host": Mistake("routes", '"https://shop.example/spring"', '»"https://{campaign}.example/"', "routes.spring.reply.redirect.to", "a macro in the host"),
    "an unknown macro": Mistake("routes", '"https://shop.example/spring"', '»"https://shop.example/{campain}"', "routes.spring.reply.redirect.to", "is no dimension of the route", "did you mean `campaign`?"),
    "something else to add": Mistake("routes", "click_id: event.id", "click_id: »event.di", "routes.click.reply.redirect.add.click_id", "is not event.id", "did you mean `event.id`?"),
    "nobody's referrer policy": Mistake("routes", "        add: {click_id: event.id}", "        referrer_policy: »never", "routes.click.reply.redirect.referrer_policy", "expected `no-referrer`"),
    "a redirect and a fixed reply": Mistake("routes", "    reply:\n      redirect:\n        to", "    »reply:\n      fixed: {body: ok}\n      redirect:\n        to", "routes.click.reply", "either `redirect` or `fixed`"),
    "an empty long reply": Mistake("routes", "    reply: {redirect: {to: \"https://shop.example/spring\"}}", "    »reply: {}", "routes.spring.reply", "either `redirect` or `fixed`"),
    "an error as a reply": Mistake("routes", "reply: no_content", "reply: {fixed: {status: »404}}", "routes.hit.reply.fixed.status", "an integer between 200 and 299"),
    "a body of a 204": Mistake("routes", "reply: no_content", "reply: {fixed: {status: 204, body: »ok}}", "routes.hit.reply.fixed.body", "a 204 has no body"),
    "the tracker's own header": Mistake("routes", "reply: no_content", "reply: {fixed: {headers: {Set-Cookie: »a=b}}}", "routes.hit.reply.fixed.headers.Set-Cookie", "is for the tracker to write"),
    "a cached reply": Mistake("routes", "reply: no_content", "reply: {fixed: {headers: {Cache-Control: »max-age=60}}}", "routes.hit.reply.fixed.headers.Cache-Control", "never counted"),
    "a header that splits": Mistake("routes", "reply: no_content", 'reply: {fixed: {headers: {X-A: »"a\\r\\nb: c"}}}', "routes.hit.reply.fixed.headers.X-A", "holds a control character"),
    "a cookie of another prefix": Mistake("routes", "reply: no_content", "reply: no_content\n    cookie: {name: »tid}", "routes.hit.cookie.name", "`tid` is not `__Host-`"),
    "a cookie for two years": Mistake("routes", "reply: no_content", "reply: no_content\n    cookie: {max_age_days: »730}", "routes.hit.cookie.max_age_days", "an integer between 1 and 400"),
    "a strict cookie": Mistake("routes", "reply: no_content", "reply: no_content\n    cookie: {same_site: »strict}", "routes.hit.cookie.same_site", "expected `lax` or `none`"),
    "true for a cookie": Mistake("routes", "reply: no_content", "reply: no_content\n    cookie: »true", "routes.hit.cookie", "expected a mapping"),
    "a flag of one's own": Mistake("routes", "reply: no_content", "reply: no_content\n    flags: [»tset]", "routes.hit.flags[0]", "`test`", "did you mean `test`?"),
    "a priority of one's own": Mistake("routes", "ack: power", "priority: »urgent", "routes.conversion.priority", "expected `high`, `low` or `normal`"),
    "an access of one's own": Mistake("routes", "reply: no_content", "reply: no_content\n    access: »keys", "routes.hit.access", "expected `key` or `open`", "did you mean `key`?"),
    "do not track, off": Mistake("routes", "gpc: anonymous", "dnt: »off", "defaults.privacy.dnt", "YAML reads `off` as false"),
    "a status in octal": Mistake("routes", "reply: no_content", "reply: {fixed: {status: »0310}}", "routes.hit.reply.fixed.status", "YAML reads `0310` as the number 200"),
    "a cookie's days as a time": Mistake("routes", "reply: no_content", "reply: no_content\n    cookie: {max_age_days: »1:30}", "routes.hit.cookie.max_age_days", "as the number 90"),
    "on as a body": Mistake("routes", "reply: no_content", "reply: {fixed: {body: »on}}", "routes.hit.reply.fixed.body", "YAML reads `on` as true", 'quote it: "on"'),
    "a key twice in a cookie": Mistake("routes", "reply: no_content", "reply: no_content\n    cookie: {into: device_id, »into: device_id}", "routes.hit.cookie", "`into` a second time"),
    "a circle of aliases": Mistake("routes", "reply: no_content", "reply: &r {fixed: {headers: {a: »*r}}}", "routes.hit.reply.fixed.headers.a", "stands inside of what it names"),
}

SEEN_WHILE_TYPING = [
    "unknown field at the root", "dash for underscore", "a limit at the root", "unknown field of a collector", "unknown field of a reply",
    "unknown field in a flow mapping", "no path", "no type", "route name with a capital", "route name with a dash", "a number for text", "on", "no",
    "a year", "a year as field", "text for a list", "text for a number", "a quoted number", "a broken number", "true for a number", "a mapping for text",
    "a list for a mapping", "a section without its settings", "maybe", "a list in a list", "a version of the future", "a wrong word", "a word for a mapping",
    "a word for a list", "off", "a small method", "a wrong lane", "too small", "too large", "negative", "a currency", "an environment",
    "a header of nobody's proxy", "yes in quotes", "a short secret", "a key id with blanks", "an unknown option", "one table for a list", "an unknown type",
    "a constant and a source", "neither constant nor source", "a length of nothing", "unknown as a word", "nobody's referrer policy",
    "a redirect and a fixed reply", "an empty long reply", "an error as a reply", "a cookie of another prefix", "a cookie for two years",
    "a strict cookie", "true for a cookie", "a flag of one's own", "a priority of one's own", "an access of one's own",
]  # fmt: skip
"""Mistakes that an editor shows by the JSON Schemas; see test_schemas.py."""


def mutated() -> Iterator[tuple[str, dict[str, str]]]:
    """Each mistake's name, and the files with it, by name: ``tracker.yaml``, ``routes.yaml`` and what is beside them."""
    for name, mistake in MISTAKES.items():
        files = dict(RIGHT)
        which = f"{mistake.file}.yaml"
        assert files[which].count(mistake.old) == 1, f"not there, or twice: {mistake.old!r}"
        files[which] = files[which].replace(mistake.old, mistake.new)
        files |= mistake.beside
        yield name, {each: text.replace(MARK, "") for each, text in files.items()}


MUTATED = dict(mutated())


def only_problem(name: str, folder: Path) -> tuple[Problem, str, str]:
    """What ``load`` says about the one mistake, the place that was marked, and the whole text."""
    mistake = MISTAKES[name]
    for each, text in MUTATED[name].items():
        (folder / each).write_bytes(text.encode("utf-8"))
    with pytest.raises(SettingsError) as caught:
        load(folder / "tracker.yaml", folder / "routes.yaml", {}, {}, (routing.check, registry.check))
    assert len(caught.value.problems) == 1, str(caught.value)
    marked = {which: text for which, text in mistake.beside.items() if MARK in text}
    if not marked:
        which = f"{mistake.file}.yaml"
        marked = {which: RIGHT[which].replace(mistake.old, mistake.new)}
    ((which, text),) = marked.items()
    before = text.partition(MARK)[0]
    place = f"{folder / which}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    return caught.value.problems[0], place, str(caught.value)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_at_its_place(name: str, tmp_path: Path) -> None:
    """One problem, at the line and column of the mistake, naming the setting, saying what is wrong and how to repair it."""
    mistake = MISTAKES[name]
    problem, place, text = only_problem(name, tmp_path)
    assert f"{problem.file}:{problem.line}:{problem.column}" == place
    if mistake.path or not problem.message.startswith("not YAML"):
        assert problem.path == mistake.path
    assert mistake.message in problem.message
    assert mistake.hint in problem.hint
    first, excerpt, caret, count = text.split("\n")
    assert first.startswith(f"{place}: {problem.path}"[:200])
    assert excerpt.startswith(f"{problem.line:5d} | ")
    assert caret.index("^") - len("      | ") <= 100
    assert count == "1 problem; nothing was started."


def test_without_the_mistake_the_files_are_right(tmp_path: Path) -> None:
    """So each problem is the mistake's."""
    for name, text in RIGHT.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert load(tmp_path / "tracker.yaml", tmp_path / "routes.yaml", {}, {}, (routing.check, registry.check)).warnings == ()


def test_there_are_many_mistakes() -> None:
    """The list above is the promise: at least 60 files with one mistake each, no two of them the same."""
    assert len(MISTAKES) >= 60
    assert len({tuple(files.items()) for files in MUTATED.values()}) == len(MISTAKES)


def test_a_problem_reads_like_a_compilers(tmp_path: Path) -> None:
    """Place, path, message; the line with its number; a caret below the column, and the hint behind it."""
    path = tmp_path / "routes.yaml"
    path.write_text("routes:\n  click:\n    path: /c\n    reply:\n      redirct: https://shop.example/\n", "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(None, path, {}, {}, ())
    assert str(caught.value) == (
        f"{path}:5:7: routes.click.reply: unknown field `redirct`\n"
        "    5 |       redirct: https://shop.example/\n"
        "      |       ^ did you mean `redirect`?\n"
        "1 problem; nothing was started."
    )


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Those of both files, the environment and the flags, in this order and by line."""
    config, routes = tmp_path / "t.yaml", tmp_path / "r.yaml"
    config.write_text("version: 1\nthreads: 0\nbnid: x\ncollectors: {log: {type: log, lanes: [god, bad]}}\n", "utf-8")
    routes.write_text("routes:\n  a: {path: /a, reply: pixl}\n  b: {reply: pixel, use: ad}\n", "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(config, routes, {"TRACKER_WORKERS": "x"}, {"threads": "y"}, ())
    places = [(each.file, each.line, each.column, each.path) for each in caught.value.problems]
    assert places == [
        (str(config), 2, 10, "threads"),
        (str(config), 3, 1, ""),
        (str(config), 4, 39, "collectors.log.lanes[0]"),
        (str(routes), 2, 24, "routes.a.reply"),
        (str(routes), 3, 3, "routes.b"),
        (str(routes), 3, 26, "routes.b.use"),
        ("environment", 0, 0, "TRACKER_WORKERS"),
        ("flag", 0, 0, "--threads"),
    ]
    assert str(caught.value).endswith("\n8 problems; nothing was started.")


def test_a_caret_stands_below_its_column_whatever_stands_before(tmp_path: Path) -> None:
    """Wide characters take two cells, a tab in a comment above moves nothing, and a long line is cut around its mistake."""
    config = tmp_path / "t.yaml"
    long = "x" * 300
    config.write_text(f'#\tnote\nenvironment: "広告"\ndata_dir: {{"ä{long}": 5}}\nlimits: {{"{long}": 5, workers: 6}}\n', "utf-8")
    with pytest.raises(SettingsError) as caught:
        load(config, None, {}, {}, ())
    lines = str(caught.value).split("\n")
    assert lines[1] == '    2 | environment: "広告"'
    assert lines[2] == "      |              ^"
    last = [line for line in lines if "workers" in line][-1]
    caret = lines[lines.index(last) + 1]
    assert last[caret.index("^") :].startswith("workers: 6}")
    assert all(len(line) < 300 for line in lines[1:])
