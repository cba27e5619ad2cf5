"""Bodies: JSON objects and forms, and the reasons for everything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.capture import body as bodies
from tracker.settings.model import Limits

LIMITS = Limits(max_json_depth=4, max_json_values=10, max_query_parameters=5)


def read(body: bytes, kind: str | None = "application/json", limits: Limits = LIMITS) -> tuple[dict[str, Any] | str, list[str]]:
    flags: list[str] = []
    return bodies.read(body, kind, limits, flags), flags


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON; charset=UTF-8", "text/plain", "text/plain;charset=UTF-8", "application/vnd.api+json", None, "", " "],
)
def test_a_json_object_is_read_under_each_of_its_labels(kind: str | None) -> None:
    """``sendBeacon`` says text/plain; some say nothing."""
    assert read(b' {"a": 1, "b": {"c": [true, null, 2.5, "x"]}}', kind) == ({"a": 1, "b": {"c": [True, None, 2.5, "x"]}}, [])


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8", None])
def test_a_form_is_read_with_or_without_its_label(kind: str | None) -> None:
    """The first of a repeated field is taken; blanks are there."""
    assert read(b"a=1&b=x+y%20z&a=2&c=&%C3%A9=%C3%BC", kind) == ({"a": "1", "b": "x y z", "c": "", "é": "ü"}, ["repeated_parameter"])


def test_a_json_object_labelled_as_a_form_is_json() -> None:
    """``curl -d '{"a":1}'`` says that it sends a form; a form's own brace is always encoded."""
    assert read(b'{"a":1}', "application/x-www-form-urlencoded") == ({"a": 1}, [])
    assert read(b"%7B%22a%22=1", "application/x-www-form-urlencoded") == ({'{"a"': "1"}, [])


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        (b"", "application/json", "invalid_body"), (b"[]", "application/json", "invalid_body"), (b"1", "text/plain", "invalid_body"),
        (b'"x"', "text/plain", "invalid_body"), (b"null", "application/json", "invalid_body"), (b"{", "application/json", "invalid_body"),
        (b"{} {}", "application/json", "invalid_body"), (b"{'a':1}", "application/json", "invalid_body"), (b'{"a":01}', "application/json", "invalid_body"),
        (b'{"a":NaN}', "application/json", "invalid_body"), (b'{"a":Infinity}', "application/json", "invalid_body"), (b'{"a":1,}', "application/json", "invalid_body"),
        (b'{"a":"\xff"}', "application/json", "invalid_body"), (b'{"\xed\xa0\x80":1}', "application/json", "invalid_body"),
        (b'{"a":"\\ud800"}', "application/json", "invalid_body"), (b'{"a":"\\ud800\\u0041"}', "application/json", "invalid_body"),
        (b'{"a":"\x01"}', "application/json", "invalid_body"), (b"\x1f\x8b\x08\x00", "application/json", "invalid_body"),
        (b"{}", "application/xml", "invalid_body"), (b"--x\r\n", "multipart/form-data; boundary=x", "invalid_body"), (b"\xff=1", None, "invalid_body"),
        (b"a=\xff", "application/x-www-form-urlencoded", "invalid_body"), (b"hello", "text/plain", "invalid_body"),
        (b'{"a":1e999}', "application/json", "body_too_complex"), (b'{"a":-1e400}', "application/json", "body_too_complex"),
        (b'{"a":' + b"9" * 400 + b"}", "application/json", "body_too_complex"), (b'{"a":' + b"9" * 5000 + b"}", "application/json", "body_too_complex"),
        (b'{"a":9223372036854775808}', "application/json", "body_too_complex"), (b'{"a":[-9223372036854775809]}', "application/json", "body_too_complex"),
        (b'{"a":[[[[1]]]]}', "application/json", "body_too_complex"), (b'{"a":' + b"[" * 100_000, "application/json", "body_too_complex"),
        (b'{"a":' * 100_000, "application/json", "body_too_complex"), (b'{"a":[1,2,3,4,5,6,7,8,9,10]}', "application/json", "body_too_complex"),
        (b"&" * 5, "application/x-www-form-urlencoded", "too_many_parameters"),
    ],
)  # fmt: skip
def test_what_is_no_body_of_ours_has_its_reason(body: bytes, kind: str | None, reason: str) -> None:
    """Malformed, not UTF-8, too deep, too many, out of range: a value, never an exception."""
    assert read(body, kind)[0] == reason


@pytest.mark.parametrize(
    "body",
    [b'{"a":[[[1]]]}', b'{"a":[1,2,3,4,5,6,7,8,9]}', b'{"a":9223372036854775807,"b":-9223372036854775808,"c":1e308}', b'\xef\xbb\xbf{"a":1}'],
)
def test_what_is_just_within_the_limits_is_read(body: bytes) -> None:
    """Depth 4, ten values, 64 bits; a byte order mark does no harm."""
    assert isinstance(read(body)[0], dict)


def test_text_is_cleaned_at_every_depth_and_in_keys() -> None:
    """Tab and newlines stay, since JSON writes them as escapes; NUL, escapes of terminals and separators go."""
    found, flags = read(b'{"a\\u0000":{"b\\u001b":["x\\u2028\\ny\\tz\\r","\\u009b"]}}')
    assert found == {"a\ufffd": {"b\ufffd": ["x\ufffd\ny\tz\r", "\ufffd"]}}
    assert flags == ["cleaned"]
    assert read(b"a=%00%0A&%FF=1", None) == ({"a": "\ufffd\n", "\ufffd": "1"}, ["cleaned"])


def test_of_a_key_that_comes_twice_the_last_wins() -> None:
    """As in every browser."""
    assert read(b'{"a":1,"a":2}')[0] == {"a": 2}


@given(st.binary() | st.binary().map(lambda b: b'{"' + b + b'"}'), st.sampled_from(["application/json", "application/x-www-form-urlencoded", None]) | st.text())
def test_no_bytes_make_it_raise(body: bytes, kind: str | None) -> None:
    """Any bytes under any label: fields or a name from the closed list."""
    found, _ = read(body, kind)
    assert isinstance(found, dict) or found in ("invalid_body", "body_too_complex", "too_many_parameters")


def multipart(*parts: tuple[str, str], ending: str = "--b--\r\n") -> bytes:
    """A body with boundary b; each part is its headers and its content."""
    return "".join(f"--b\r\n{head}\r\n\r\n{content}\r\n" for head, content in parts).encode() + ending.encode()


FIELD = 'Content-Disposition: form-data; name="%s"'


@pytest.mark.parametrize(
    ("body", "found", "flags"),
    [
        (multipart((FIELD % "a", "1"), (FIELD % "é", "ü\r\n\x00")), {"a": "1", "é": "ü\r\n\ufffd"}, ["cleaned"]),
        (multipart((FIELD % "a", "1"), (FIELD % "a", "2")), {"a": "1"}, ["repeated_parameter"]),
        (multipart((FIELD % "f" + '; filename="x.png"\r\nContent-Type: image/png', "\x89"), (FIELD % "a", "")), {"a": ""}, []),
        (multipart(("Content-Disposition: form-data", "nameless"), (FIELD % "a", "1")), {"a": "1"}, []), (multipart(), {}, []),
        (multipart((FIELD % "List-Unsubscribe", "One-Click")), {"List-Unsubscribe": "One-Click"}, []),
    ],
)  # fmt: skip
def test_a_multipart_form_is_read_like_any_form(body: bytes, found: dict[str, str], flags: list[str]) -> None:
    """As FormData and one-click unsubscribes send it: text fields, the first of two; files are passed over."""
    assert read(body, 'multipart/form-data; boundary="b"', Limits()) == (found, flags)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (multipart((FIELD % "a", "1")), "multipart/form-data", "invalid_body"), (multipart((FIELD % "a", "1")), "multipart/form-data; boundary=" + "b" * 71, "invalid_body"),
        (multipart((FIELD % "a", "1"), ending=""), "multipart/form-data; boundary=b", "invalid_body"), (b"--b\r\n", "multipart/form-data; boundary=b", "invalid_body"),
        (b"", "multipart/form-data; boundary=b", "invalid_body"), (multipart((FIELD % "a" + "\r\nX: " + "y" * 2000, "1")), "multipart/form-data; boundary=b", "invalid_body"),
        (multipart((FIELD % "a", "1")).replace(b"1\r", b"\xff\r"), "multipart/form-data; boundary=b", "invalid_body"), (multipart((FIELD % "a" + "\r\nContent-Transfer-Encoding: base64", "MQ==")), "multipart/form-data; boundary=b", "invalid_body"),
        (multipart(*((FIELD % n, "1") for n in range(128))), "multipart/form-data; boundary=b", ""), (multipart(*((FIELD % n, "1") for n in range(129))), "multipart/form-data; boundary=b", "too_many_parameters"),
        (multipart((FIELD % "a", "1")), "multipart/form-data; boundary=\u00ff\u20ac", "invalid_body"), (multipart((FIELD % "a", "1")), "multipart/form-data; boundary=\ud800", "invalid_body"),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_broken_multipart_form_has_its_reason(body: bytes, content_type: str, reason: str) -> None:
    """No boundary, cut off, odd encodings, more parts than parameters are allowed."""
    found, _ = read(body, content_type, Limits())
    assert isinstance(found, dict) if reason == "" else found == reason


@given(st.binary(max_size=200), st.text(max_size=30))
def test_no_multipart_body_raises(body: bytes, rest: str) -> None:
    """Whatever stands in it or in its header."""
    for content in (body, b"--b\r\n" + body + b"\r\n--b--", multipart((FIELD % "a", "x")) + body):
        for content_type in ("multipart/form-data; boundary=b", "multipart/form-data; " + rest, f'multipart/form-data; boundary="{rest}'):
            assert isinstance(read(content, content_type, Limits())[0], dict | str)
