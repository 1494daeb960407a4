"""R-25: the msgpack dialect; JSON beside it."""

import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.ids import stable_id
from truss_chains.codec import decode, decode_binary, encode, encode_binary, encode_json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-3.5))))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


class Point(BaseModel):
    x: int
    at: datetime


def wire(value: object) -> object:
    """What stands on the wire, marks unread."""
    return msgpack.unpackb(encode_binary(value), raw=False)


@given(VALUES)
def test_r25_reading_what_was_written_gives_the_same(value: object) -> None:
    assert decode_binary(encode_binary(value)) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            {b"__dt_datetime_iso__": True, b"data": "2026-01-02T03:04:05Z"},
        ),
        (datetime(2026, 1, 2), {b"__dt_datetime_iso__": True, b"data": "2026-01-02T00:00:00"}),
        (date(2026, 1, 2), {b"__dt_date_iso__": True, b"data": "2026-01-02"}),
        (time(3, 4), {b"__dt_time_iso__": True, b"data": "03:04:00"}),
        (timedelta(1, 2, 3), {b"__dt_timedelta__": True, b"data": [1, 2, 3]}),
        (Decimal("1.50"), {b"__decimal__": True, b"data": "1.50"}),
        (UUID(int=1), {b"__uuid__": True, b"data": "00000000-0000-0000-0000-000000000001"}),
        (1 + 2j, {b"complex": True, b"data": "(1+2j)"}),
        (np.float32(0.5), {b"nd": False, b"type": "<f4", b"data": b"\x00\x00\x00?"}),
        (
            np.array([[1, 2]], dtype="<i2"),
            {b"nd": True, b"type": "<i2", b"kind": b"", b"shape": [1, 2], b"data": b"\x01\x00\x02\x00"},
        ),
        (
            np.array([(1, 2.0)], dtype=[("a", "<i2"), ("b", "<f4")]),
            {
                b"nd": True,
                b"type": [["a", "<i2"], ["b", "<f4"]],
                b"kind": b"V",
                b"shape": [1],
                b"data": b"\x01\x00\x00\x00\x00@",
            },
        ),
    ],
    ids=lambda v: type(v).__name__,
)
def test_r25_marks_on_the_wire(value: object, written: object) -> None:
    assert wire(value) == written


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype="f8").reshape(3, 4),
        np.arange(12, dtype=">i4").reshape(3, 4).T,
        np.zeros((0, 3), dtype="f4"),
        np.array(7),
        np.array(["a", "bcd"]),
        np.array([b"x", b"yz"]),
        np.array(["2026-01-02"], dtype="M8[D]"),
        np.array([1 + 2j]),
        np.array([True, False]),
        np.array([(1, [2.0, 3.0])], dtype=[("a", "i4"), ("b", "f8", (2,))]),
        np.float16([1.5]),
    ],
    ids=lambda a: f"{a.dtype}-{a.shape}",
)
def test_r25_arrays_keep_type_shape_and_values_and_are_writable(array: "np.ndarray") -> None:
    found = decode_binary(encode_binary({"a": array}))["a"]
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert np.array_equal(found, array)
    assert found.flags.writeable


@pytest.mark.parametrize(
    "scalar", [np.int64(3), np.bool_(True), np.complex128(1j), np.datetime64("2026-01-02")]
)
def test_r25_array_scalars(scalar: "np.generic") -> None:
    found = decode_binary(encode_binary(scalar))
    assert found == scalar
    assert type(found) is type(scalar)


@pytest.mark.parametrize(
    "unsendable",
    [
        time(1, tzinfo=UTC),
        np.array([object()]),
        np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")]),
        object(),
        2**70,
        {"x": print},
    ],
    ids=stable_id,
)
def test_r25_what_can_not_be_written_is_a_value_error(unsendable: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_binary(unsendable)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xc1",
        b"\x81",
        msgpack.packb({1: 2}),
        msgpack.packb({b"__uuid__": True, b"data": 5}),
        msgpack.packb({b"__decimal__": True, b"data": "x"}),
        msgpack.packb({b"__dt_timedelta__": True, b"data": 5}),
        msgpack.packb({b"__dt_timedelta__": True, b"data": [10**12, 0, 0]}),
        msgpack.packb({b"nd": True, b"type": "<f8", b"kind": b"", b"shape": [2], b"data": b"1"}),
        msgpack.packb({b"nd": True, b"type": "<f8", b"kind": b"", b"shape": [-1, -1], b"data": b"12345678"}),
        msgpack.packb({b"nd": True, b"type": "<f8", b"kind": b"", b"shape": 7, b"data": b"12345678"}),
        msgpack.packb({b"nd": True, b"type": "<f8", b"kind": b"", b"shape": [1], b"data": 10**12}),
        msgpack.packb({b"nd": True, b"type": "no such type", b"kind": b"", b"shape": [1], b"data": b"1"}),
        msgpack.packb({b"nd": True, b"type": [["a", "i4"], 3], b"kind": b"V", b"shape": [1], b"data": b"1"}),
        msgpack.packb({b"nd": True, b"type": None, b"kind": b"", b"shape": [1], b"data": b"1"}),
    ],
)
def test_r25_a_broken_text_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_binary(text)


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("kind", [b"O", "O", b"", b"V"])
@pytest.mark.parametrize("described", ["|O", [["a", "|O"]], "O8"])
def test_r25_pickled_objects_are_refused_unread(kind: object, described: object) -> None:
    text = msgpack.packb(
        {b"nd": True, b"type": described, b"kind": kind, b"shape": [1], b"data": pickle.dumps([Bomb()])}
    )
    with pytest.raises(ValueError, match=r"Python objects|array"):
        decode_binary(text)


def test_a_user_map_with_a_similar_key_stays_a_map() -> None:
    for value in ({b"data": 1}, {b"nd": True}, {b"complex": False, b"data": "x"}):
        assert decode_binary(encode_binary(value)) == value


@pytest.mark.parametrize("binary", [True, False])
def test_plain_values_pass_either_way(binary: bool) -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {}}
    assert decode(encode(value, binary=binary), binary=binary) == value


def test_json_of_models_and_refusals() -> None:
    assert (
        encode_json({"p": Point(x=1, at=datetime(2026, 1, 2))}) == b'{"p":{"x":1,"at":"2026-01-02T00:00:00"}}'
    )
    with pytest.raises(ValueError, match=r"."):
        encode_json(object())
    with pytest.raises(ValueError, match=r"."):
        decode(b"{", binary=False)
