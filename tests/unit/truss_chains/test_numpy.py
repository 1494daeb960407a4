"""N-rules: arrays as fields of models."""

import json
import subprocess
import sys

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from tests.ids import stable_id
from truss_chains.codec import decode_binary, encode_binary
from truss_chains.pydantic_numpy import NumpyArrayField


class Frame(BaseModel):
    pixels: NumpyArrayField


ARRAYS = [
    np.arange(4, dtype="i8").reshape(2, 2),
    np.arange(6, dtype=">f4").reshape(2, 3).T,
    np.zeros((0, 2)),
    np.array(3.5),
    np.array(["ä", "bc"]),
    np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]),
    np.array(["2026-01-02"], dtype="M8[D]"),
]


def test_n01_the_array_is_an_assignable_attribute() -> None:
    frame = Frame(pixels=np.zeros(2))
    frame.pixels.array = np.ones(2)
    assert frame.pixels.array.sum() == 2


def test_n02_arrays_fields_and_objects_are_accepted() -> None:
    array = np.zeros(2)
    assert Frame(pixels=array).pixels.array is array
    assert Frame(pixels=NumpyArrayField(array)).pixels.array is array
    assert Frame.model_validate(
        {"pixels": {"data_b64": "AQ==", "shape": [1], "dtype": "u1"}}
    ).pixels.array == [1]


def test_n03_json_form_and_python_mode() -> None:
    frame = Frame(pixels=np.array([[1, 2], [3, 4]]))
    assert json.loads(frame.model_dump_json()) == {
        "pixels": {
            "data_b64": "AQAAAAAAAAACAAAAAAAAAAMAAAAAAAAABAAAAAAAAAA=",
            "shape": [2, 2],
            "dtype": "int64",
        }
    }
    assert frame.model_dump()["pixels"] is frame.pixels.array


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}-{a.shape}")
def test_n05_json_and_msgpack_give_the_same_array_writable(array: "np.ndarray") -> None:
    frame = Frame(pixels=array)
    for found in (
        Frame.model_validate_json(frame.model_dump_json()),
        Frame.model_validate(decode_binary(encode_binary(frame.model_dump()))),
    ):
        assert found == frame
        assert found.pixels.array.dtype == array.dtype
        assert found.pixels.array.shape == array.shape
        assert found.pixels.array.flags.writeable


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        [1, 2],
        {},
        {"data_b64": "AQ==", "shape": [2], "dtype": "u1"},
        {"data_b64": "!", "shape": [1], "dtype": "u1"},
        {"data_b64": "é", "shape": [1], "dtype": "u1"},
        {"data_b64": "AQ==", "shape": [1], "dtype": "no such type"},
        {"data_b64": "AQ==", "shape": [1], "dtype": "[1"},
        {"data_b64": "AQ==", "shape": [-1], "dtype": "u1"},
        {"data_b64": "AQ==", "shape": ["1"], "dtype": "u1"},
        {"data_b64": "AQ==", "shape": 1, "dtype": "u1"},
        {"data_b64": "AAAAAAAAAAA=", "shape": [1], "dtype": "O"},
        {"data_b64": "AAAAAAAAAAA=", "shape": [1], "dtype": "[('a', 'O')]"},
        np.array([object()]),
    ],
    ids=stable_id,
)
def test_n04_n07_invalid_input_is_a_validation_error(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Frame.model_validate({"pixels": wrong})


def test_n06_the_schema_names_the_real_keys_and_its_example_is_valid() -> None:
    schema = Frame.model_json_schema()["properties"]["pixels"]
    assert set(schema["properties"]) == set(schema["required"]) == {"data_b64", "shape", "dtype"}
    assert Frame.model_validate({"pixels": schema["examples"][0]}).pixels.array.tolist() == [1.0]


def test_n07_repr_shows_shape_dtype_and_data() -> None:
    assert repr(Frame(pixels=np.zeros(2)).pixels) == (
        "NumpyArrayField(shape=(2,), dtype=float64, data=array([0., 0.]))"
    )


def test_arrays_compare_by_content() -> None:
    assert Frame(pixels=np.zeros(2)) == Frame(pixels=np.zeros(2))
    assert Frame(pixels=np.zeros(2)) != Frame(pixels=np.zeros(2, dtype="f4"))
    assert Frame(pixels=np.zeros(2)) != Frame(pixels=np.ones(2))


def test_n08_numpy_is_imported_on_first_use() -> None:
    code = (
        "import sys; from pydantic import BaseModel\n"
        "from truss_chains.pydantic_numpy import NumpyArrayField\n"
        "class Frame(BaseModel): pixels: NumpyArrayField\n"
        "Frame.model_json_schema(); assert 'numpy' not in sys.modules\n"
        "Frame.model_validate({'pixels': {'data_b64': '', 'shape': [0], 'dtype': 'u1'}})\n"
        "assert 'numpy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
