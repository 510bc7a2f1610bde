from __future__ import annotations

import base64
import json
import re
import shlex
import time
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helvetia.masking import MASK, Redactor
from helvetia.masking.forms import forms, worth_masking

AWKWARD = "p@ss'w/ör\"d\\ &<7>"
LINE_A = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
LINE_B = "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu"
PEM = f"-----BEGIN PRIVATE KEY-----\n{LINE_A}\n{LINE_B}\nab==\n-----END PRIVATE KEY-----\n"


def masked(redactor: Redactor, data: bytes, cuts: list[int] | None = None) -> bytes:
    stream = redactor.stream()
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    parts = [stream.feed(data[a:b]) for a, b in pairwise(edges)]
    return b"".join(parts) + stream.flush()


def every_form(secret: str) -> list[bytes]:
    """The forms by the tools that make them, not by the code under test."""
    raw = secret.encode()
    go = json.dumps(secret, ensure_ascii=False).replace("&", "\\u0026")
    texts = [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),
        go.replace("<", "\\u003c").replace(">", "\\u003e")[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
        raw.hex(),
        raw.hex().upper(),
        shlex.quote(secret)[1:-1],
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    ]
    return [text.encode() for text in texts]


@pytest.mark.parametrize("form", every_form(AWKWARD))
def test_every_form_is_masked(form: bytes) -> None:
    assert masked(Redactor([AWKWARD]), b"<<" + form + b">>") == b"<<" + MASK + b">>"


@pytest.mark.parametrize("secret", ["correct horse battery staple", "ab?>~c~?>d", "k9!x"])
@pytest.mark.parametrize("before", ["", "u", "us", "user:", "someone:"])
@pytest.mark.parametrize("after", ["", "x", "xy", "@host"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_of_something_longer(secret: str, before: str, after: str, encode: object) -> None:
    assert callable(encode)
    encoded = encode(f"{before}{secret}{after}".encode())
    out = masked(Redactor([secret]), b"Basic " + encoded)
    assert MASK in out
    # At most one character at each end is made of the secret's and its neighbour's bits alike.
    left, right = out.removeprefix(b"Basic ").split(MASK)
    assert len(left) <= -(-len(before) * 8 // 6)
    assert len(right.rstrip(b"=")) <= -(-len(after) * 8 // 6) + 1


def test_wrapped_base64_as_the_base64_program_prints_it() -> None:
    secret = "".join(f"{number:x}Zq" for number in range(80))
    out = masked(Redactor([secret]), base64.encodebytes(secret.encode()))
    assert set(out.split(b"\n")) <= {MASK, MASK + b"=", MASK + b"==", b""}


SECRETS = [
    AWKWARD,
    PEM,
    "sk_live_51HxYz",
    "51HxYzABCD",  # overlaps the end of the one above
    "sk_live_51HxYzzz",  # longer, same beginning
    "aXaXaXaX",
    "aaaaaaaa",
    "f00d",
    "first line of many\nsecond line of many",
]
PIECES = st.one_of(
    st.sampled_from(
        sorted({form for secret in SECRETS for form in forms(secret)} | {b"\n", b"\r", b"sk_live"})
    ),
    st.sampled_from([b"", b" ", b"ordinary text\n", b"a", b"aX", b"first line of", b"-----BEGIN"]),
    st.binary(max_size=12),
)
REDACTOR = Redactor(SECRETS)


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(PIECES, max_size=12), cuts=st.lists(st.integers(0, 10_000), max_size=20))
def test_no_form_survives_any_split(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces)
    out = masked(REDACTOR, data, cuts)
    # What masks leave must not hold a form; the pieces between masks are looked at one by one.
    for rest in out.split(MASK):
        assert not [form for secret in SECRETS for form in forms(secret) if form in rest]
    assert out == masked(REDACTOR, data)
    assert out == masked(REDACTOR, data, list(range(len(data))))


@settings(max_examples=200, deadline=None)
@given(
    secrets=st.lists(st.text(min_size=4, max_size=40), min_size=1, max_size=5),
    around=st.lists(st.text(max_size=10), min_size=6, max_size=6),
    cuts=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_any_secret_in_any_split(secrets: list[str], around: list[str], cuts: list[int]) -> None:
    redactor = Redactor(secrets)
    data = (
        around[-1]
        .join(left + secret for left, secret in zip(around, secrets, strict=False))
        .encode("utf-8", "replace")
    )
    out = masked(redactor, data, cuts)
    everything = {form for secret in secrets for form in forms(secret)}
    for rest in out.split(MASK):
        assert not [form for form in everything if form in rest]
    if not any(form in data for form in everything):
        assert out == data or data.startswith(out.removesuffix(MASK))


def test_overlapping_secrets_leave_no_fragment() -> None:
    redactor = Redactor(["sk_live_51HxYz", "51HxYzABCD"])
    for split in range(19):
        assert masked(redactor, b"x sk_live_51HxYzABCD y", [split]) == b"x " + MASK + b" y"


def test_longest_of_two_with_one_beginning() -> None:
    redactor = Redactor(["abcd", "abcdefgh"])
    assert masked(redactor, b"=abcdefgh=", list(range(10))) == b"=" + MASK + b"="
    assert masked(redactor, b"=abcdefg=", list(range(10))) == b"=" + MASK + b"efg="


def test_part_of_a_mask_already_given_is_not_shown_later() -> None:
    stream = Redactor(["abcdEF", "EFghij"]).stream()
    assert stream.feed(b"1abcdEF") == b"1" + MASK
    assert stream.feed(b"gh!") == b"gh!"
    assert stream.feed(b"abcdEF") == MASK
    assert stream.feed(b"ghij.") == b"."


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_private_key(newline: str) -> None:
    text = PEM.replace("\n", newline)
    out = masked(Redactor([PEM]), f"key:{newline}{text}done{newline}".encode(), [50, 90, 120])
    assert LINE_A.encode() not in out
    assert b"ab==" not in out
    assert out.endswith(newline.encode() + b"done" + newline.encode())
    for line in (LINE_A, LINE_B):
        alone = masked(Redactor([PEM]), f"error near '{line}'\n".encode())
        assert alone == b"error near '" + MASK + b"'\n"
    as_json = json.dumps({"key": PEM}).encode()
    assert LINE_B.encode() not in masked(Redactor([PEM]), as_json, [40])


def test_private_key_kept_in_one_line() -> None:
    redactor = Redactor([PEM.strip().replace("\n", "\\n")])
    assert masked(redactor, PEM.encode()) == MASK + b"\n"
    assert redactor.text(f"bad line {LINE_A}") == "bad line [redacted]"


def test_public_headers_stay() -> None:
    header = b"-----BEGIN PRIVATE KEY-----\nother\n"
    assert masked(Redactor([PEM]), header) == header


def test_password_of_a_connection_url() -> None:
    redactor = Redactor(["postgresql://app:s3cr%40tpw@db.internal:5432/app"])
    assert redactor.text("password s3cr@tpw refused") == "password [redacted] refused"
    plain = Redactor(["postgresql://postgres:postgres@db.internal/app"])
    assert plain.text("the postgres server") == "the postgres server"


COMMON = """
production development staging test localhost 127.0.0.1 0.0.0.0 true False 8080 99999
abc 30s 512mb 1.5 3.11.4 http://localhost:3000 localhost:5432 postgres /app info
"""


@pytest.mark.parametrize("value", COMMON.split())
def test_common_values_are_left_alone(value: str) -> None:
    assert not worth_masking(value)
    line = f"NODE_ENV={value} started in {value} mode\n".encode()
    assert masked(Redactor([value]), line) == line


@pytest.mark.parametrize("value", ["hunter2", "123456", "prod-7", "k9!x", "Production7"])
def test_uncommon_values_are_masked(value: str) -> None:
    assert masked(Redactor([value]), f"[{value}]".encode()) == b"[" + MASK + b"]"


def test_ordinary_lines_are_not_delayed() -> None:
    stream = Redactor([PEM, "production-key-1", "\n\nspaces around\n"]).stream()
    for line in (
        b"hello\n",
        b"in production-\n",
        b"product\r\n",
        b"\n",
        LINE_A[:30].encode() + b"\n",
    ):
        assert stream.feed(line) == line
    assert stream.feed(b"the produ") == b"the "
    assert stream.feed(b"ct\n") == b"product\n"
    # A line that really begins a secret of several lines waits for the next.
    assert stream.feed(b"-----BEGIN PRIVATE KEY-----\n") == b""
    assert stream.feed(b"other\n") == b"-----BEGIN PRIVATE KEY-----\nother\n"


def test_two_secrets_of_several_lines_begun_at_once() -> None:
    redactor = Redactor(["one1\ntwo2\nthree3", "two2\nfour4"])
    text = b"one1\ntwo2\nthree3\none1\ntwo2\nfour4\n"
    expected = MASK + b"\none1\n" + MASK + b"\n"
    assert masked(redactor, text, list(range(len(text)))) == expected


def test_the_greater_part_of_a_secret_at_the_end_is_masked() -> None:
    redactor = Redactor(["correct-horse-battery"])
    assert masked(redactor, b"killed at correct-horse-ba") == b"killed at " + MASK
    assert masked(redactor, b"killed at corr") == b"killed at corr"


def test_held_back_bytes_are_bounded() -> None:
    redactor = Redactor(["a" * 500, "ab" * 300])
    longest = max(len(form) for secret in ("a" * 500, "ab" * 300) for form in forms(secret))
    stream = redactor.stream()
    given_out = taken = 0
    for _ in range(2000):
        taken += 7
        given_out += stream.feed(b"aaaaaaa").count(MASK)
        assert len(stream._held) < longest
    assert given_out == 1


def test_nothing_to_mask_costs_nothing() -> None:
    redactor = Redactor(["production", ""])
    assert not redactor
    stream = redactor.stream()
    data = b"production \xff\x00"
    assert stream.feed(data) is data
    assert stream.flush() == b""


def test_speed_with_25_secrets() -> None:
    """A tenth of what an idle machine does; the point is that nothing is quadratic."""
    secrets = [f"{number:02}-Zk8vQx{number * 7919:x}Lm3" for number in range(25)]
    redactor = Redactor(secrets)
    lines = 20_000
    line = b"2024-01-01T00:00:00Z npm info fetch GET 200 https://registry/pkg 12ms "
    data = line.ljust(99, b".") + b"\n"
    stream = redactor.stream()
    start = time.perf_counter()
    for _ in range(lines // 500):
        stream.feed(data * 500)
    assert lines / (time.perf_counter() - start) > 60_000
