"""What foreign bytes are, and what their refusal says."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
import safetensors.numpy
from artifact_examples import example_bytes

from keepfit.artifact import read, sniff
from keepfit.errors import FormatError

MODEL = {"coef_": np.arange(3.0), "list": [1, 2.5, "three", None]}


def joblib_file(compress: object) -> bytes:
    file = io.BytesIO()
    joblib.dump(MODEL, file, compress=compress)
    return file.getvalue()


def zip_file(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return file.getvalue()


def numpy_file(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, np.arange(3))
    return file.getvalue()


# (what it is, the bytes, words of `sniff`, words of the refusal that say what to do)
FOREIGN: list[tuple[str, Callable[[], bytes], str, str]] = [
    ("nothing", lambda: b"", "an empty file", "write it again"),
    ("zeros", lambda: bytes(100), "a file of zeros", "backup"),
    *(
        (f"pickle {n}", lambda n=n: pickle.dumps(MODEL, protocol=n), f"a pickle (protocol {n})", "never unpickles")
        for n in range(2, 6)
    ),
    ("pickle 0", lambda: pickle.dumps(MODEL, protocol=0), "a pickle (protocol 0 or 1)", "never unpickles"),
    ("pickle 1", lambda: pickle.dumps(MODEL, protocol=1), "a pickle (protocol 0 or 1)", "never unpickles"),
    (
        "object in pickle 0",
        lambda: pickle.dumps(Path("x"), protocol=0),
        "a pickle (protocol 0 or 1)",
        "keepfit.convert",
    ),
    ("joblib", lambda: joblib_file(0), "a joblib file (pickle, protocol", "never unpickles"),
    *(
        (
            f"joblib {name}",
            lambda name=name: joblib_file((name, 3)),
            f"a joblib file or pickle compressed with {name}",
            "never",
        )
        for name in ("zlib", "gzip", "bz2", "lzma", "xz")
    ),
    ("lz4", lambda: b"\x04\x22\x4d\x18xxxx", "data compressed with lz4", "keepfit.dump"),
    ("text in gzip", lambda: gzip.compress(b"hello"), "data compressed with gzip", "keepfit.dump"),
    ("broken gzip", lambda: b"\x1f\x8bxxxx", "data compressed with gzip", "keepfit.dump"),
    (
        "keepfit in gzip",
        lambda: gzip.compress(example_bytes("worked")),
        "a keepfit file compressed with gzip",
        "unpack it",
    ),
    (
        "keepfit in bz2",
        lambda: bz2.compress(example_bytes("worked")),
        "a keepfit file compressed with bz2",
        "unpack it",
    ),
    ("zlib bomb", lambda: zlib.compress(bytes(10**7)), "data compressed with zlib", "keepfit.dump"),
    ("xz bomb", lambda: lzma.compress(bytes(10**7)), "data compressed with xz", "keepfit.dump"),
    ("skops", lambda: zip_file("array.npy", "schema.json"), "a skops file", "skops.io"),
    ("npz", lambda: numpy_file(np.savez), "a numpy archive (.npz)", "numpy.load"),
    ("torch", lambda: zip_file("archive/data.pkl"), "a PyTorch file", "keepfit.dump"),
    ("zip", lambda: zip_file("readme"), "a zip archive", "keepfit.dump"),
    ("npy", lambda: numpy_file(np.save), "a numpy array file (.npy)", "numpy.load"),
    ("safetensors", lambda: safetensors.numpy.save({"a": np.arange(3)}), "a safetensors file", "safetensors package"),
    ("keepfit cut", lambda: example_bytes("worked")[:50], "a keepfit file", "get the original"),
    (
        "keepfit rewritten",
        lambda: safetensors.numpy.save({"a": np.arange(3)}, {"format": "keepfit"}),
        "a keepfit file",
        "rewrote",
    ),
    ("JSON", lambda: json.dumps({"learner": {}}).encode(), "JSON", "keepfit.dump"),
    ("JSON list", lambda: b"[1, 2]", "JSON", "keepfit.dump"),
    ("HDF5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(50), "an HDF5 file", "keepfit.dump"),
    ("Parquet", lambda: b"PAR1" + bytes(50) + b"PAR1", "a Parquet file", "read_parquet"),
    ("Arrow", lambda: b"ARROW1\0\0", "an Arrow file", "keepfit.dump"),
    ("ONNX", lambda: b"\x08\x08\x12\x08skl2onnx", "an ONNX model", "keepfit.dump"),
    ("HTML", lambda: b"\n<!DOCTYPE html><html>", "an HTML page", "check the address"),
    ("XML", lambda: b'<?xml version="1.0"?><PMML/>', "XML", "keepfit.dump"),
    ("LFS", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer", "git lfs pull"),
    ("CSV", lambda: b"a,b\n1,2\n", "a table in text (CSV)", "pandas.read_csv"),
    ("TSV", lambda: "ä\tb\n1\t2\n".encode("utf-8-sig"), "a table in text (CSV)", "pandas.read_csv"),
    ("LightGBM", lambda: b"tree\nversion=v4\n", "a LightGBM model in text", "keepfit.dump"),
    ("text", lambda: "naïve".encode() * 1000, "text", "keepfit.dump"),
    (
        "anything",
        lambda: b"\xff\xfe\x00\x01\x02",
        "data of an unknown kind (it begins with ff fe 00 01 02)",
        "keepfit.dump",
    ),
]


@pytest.mark.parametrize(("build", "words", "advice"), [pytest.param(*case[1:], id=case[0]) for case in FOREIGN])
def test_foreign_bytes_are_named_and_the_refusal_says_what_to_do(
    build: Callable[[], bytes], words: str, advice: str
) -> None:
    data = build()
    assert sniff(data).startswith(words)
    with pytest.raises(FormatError) as caught:
        read(data)
    assert advice in str(caught.value)
    assert "keepfit file" in str(caught.value)


def test_an_sqlite_database_is_named(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("create table t (x)")
    connection.commit()
    connection.close()
    assert sniff((tmp_path / "state.db").read_bytes()) == "an SQLite database"
    with pytest.raises(FormatError, match=r"keepfit\.Store"):
        read((tmp_path / "state.db").read_bytes())


def test_a_keepfit_file_is_named_by_its_start_alone() -> None:
    assert sniff(example_bytes("many")) == sniff(example_bytes("many")[:64]) == "a keepfit file"


def test_any_first_bytes_have_a_name() -> None:
    for first in range(256):
        for rest in (b"", b"\0", b"\n", b"x" * 50, b"\xff" * 50):
            assert sniff(bytes((first,)) + rest)
