"""What foreign bytes are, in words, from a look at their start. Nothing is parsed, unpacked as a whole, or run."""

from __future__ import annotations

import bz2
import codecs
import lzma
import mmap
import re
import zlib
from collections.abc import Callable

__all__ = ["SQLITE_MAGIC", "explain", "sniff"]

#: How every SQLite database begins.
SQLITE_MAGIC = b"SQLite format 3\x00"

_START = 1 << 12  # bytes looked at from the start
_END = 1 << 16  # and from the end, where a zip archive has its contents
_INSIDE = 256  # bytes of a compressed file that are unpacked
_MAX_SAFETENSORS_HEADER = 100_000_000

_KEEP = "load it with what wrote it, where you trust it, and keep the result with keepfit.dump"
_PICKLE_ADVICE = (
    "keepfit never unpickles, because that runs code from the file. keepfit.inspect(file) says what is in it, and "
    "keepfit.convert(file, target) makes a keepfit file of it where it holds only known data"
)

# Text pickles have no magic number: these are the ways the first value of an estimator, list or dict begins.
_PICKLE_0 = re.compile(rb"(?:\(?c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n|\([ld]p\d+\n|[\]\}]q\x00)")
_FORMAT_KEEPFIT = re.compile(rb'"format"\s*:\s*"keepfit"')
_FACT_OF_OURS = b'{"__metadata__":{"format":"keepfit"'

# (first bytes, what they are). The first row that fits counts, so longer ones stand first.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x93NUMPY", "a numpy array file (.npy)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (SQLITE_MAGIC, "an SQLite database"),
    (b"GGUF", "a GGUF file"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file it stands for"),
    (b"tree\nversion=", "a LightGBM model in text"),
    (b"binf", "an XGBoost model in its old binary form"),
    (b"<?xml", "XML"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
)

_Unpack = Callable[[bytes], bytes]

# (first bytes, name, how to unpack at most `_INSIDE` bytes; None where Python's own library cannot)
_COMPRESSIONS: tuple[tuple[bytes, str, _Unpack | None], ...] = (
    (b"\x1f\x8b", "gzip", lambda data: zlib.decompressobj(31).decompress(data, _INSIDE)),
    (b"BZh", "bz2", lambda data: bz2.BZ2Decompressor().decompress(data, _INSIDE)),
    (b"\xfd7zXZ\x00", "xz", lambda data: lzma.LZMADecompressor(lzma.FORMAT_XZ, 1 << 27).decompress(data, _INSIDE)),
    (b"]\x00\x00", "lzma", lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE, 1 << 27).decompress(data, _INSIDE)),
    (b"\x04\x22\x4d\x18", "lz4", None),
    (b"\x28\xb5\x2f\xfd", "zstd", None),
    *(
        (bytes((0x78, level)), "zlib", lambda data: zlib.decompressobj().decompress(data, _INSIDE))
        for level in (0x01, 0x5E, 0x9C, 0xDA)
    ),
)

# Names inside a zip archive, and whose they are.
_ARCHIVES: tuple[tuple[bytes, str], ...] = (
    (b"schema.json", "a skops file"),
    (b"data.pkl", "a PyTorch file"),
    (b".npy", "a numpy archive (.npz)"),
    (b"metadata.json", "a Keras file"),
)

# What to do, by a word in what `sniff` says.
_ADVICE: tuple[tuple[str, str], ...] = (
    ("empty", "what wrote it did not finish; write it again"),
    ("zeros", "it was lost when a machine or disk failed; take it from a backup"),
    ("keepfit file compressed", "unpack it first"),
    ("keepfit file", "another program wrote or rewrote it, or it is damaged or cut short; get the original"),
    ("safetensors", "it holds tensors but no object; open it with the safetensors package"),
    ("pickle", _PICKLE_ADVICE),
    ("joblib", _PICKLE_ADVICE),
    ("skops", "load it with skops.io and keep the result with keepfit.dump"),
    ("SQLite", "if it is a keepfit store, open it with keepfit.Store"),
    ("Git LFS", "fetch the file itself with git lfs pull"),
    ("HTML", "the download gave a web page in place of the file; check the address"),
    ("numpy", "read it with numpy.load, or make a keepfit file of it with keepfit.convert(file, target)"),
    ("CSV", "this is for models; read it with pandas.read_csv"),
    ("Parquet", "this is for models; read it with pandas.read_parquet"),
)


def sniff(data: bytes | bytearray | memoryview | mmap.mmap) -> str:
    """Say what bytes are.

    Parameters
    ----------
    data : bytes, bytearray, memoryview or mmap
        A file, or its start.

    Returns
    -------
    words : str
        With their article: ``"a pickle (protocol 5)"``, ``"an empty file"``. Made for messages: a guess, and no check
        of anything.

    Notes
    -----
    Looks at some thousands of bytes and unpacks at most some hundreds.

    Examples
    --------
    >>> import pickle
    >>> sniff(pickle.dumps([1, 2, 3], protocol=5))
    'a pickle (protocol 5)'
    """
    view = memoryview(data)
    start = bytes(view[:_START])
    if start.startswith(b"PK\x03\x04"):
        return _archive(start + bytes(view[-_END:]))
    return _plain(start) or _compressed(start) or _text(start) or _unknown(start)


def explain(data: bytes | bytearray | memoryview | mmap.mmap) -> str:
    """A sentence for bytes that are no keepfit file: what they are, and what to do with them.

    Examples
    --------
    >>> explain(b"")
    'this is an empty file, not a keepfit file: what wrote it did not finish; write it again'
    """
    words = sniff(data)
    advice = next((advice for word, advice in _ADVICE if word in words), _KEEP)
    if words.startswith("a keepfit file") and "compressed" not in words:
        return f"this looks like a keepfit file but is not one as the format says: {advice}"
    return f"this is {words}, not a keepfit file: {advice}"


def _plain(start: bytes) -> str | None:
    """What is known by its first bytes."""
    if not start:
        return "an empty file"
    if not any(start):
        return "a file of zeros"
    lower = start.lstrip()[:16].lower()
    for magic, words in _MAGIC:
        if start.startswith(magic) or (magic.startswith(b"<") and lower.startswith(magic)):
            return words
    return _safetensors(start) or _pickle(start) or _onnx(start)


def _safetensors(start: bytes) -> str | None:
    header = start[8:]
    if not header.startswith(b"{") or int.from_bytes(start[:8], "little") > _MAX_SAFETENSORS_HEADER:
        return None
    if _FORMAT_KEEPFIT.search(header) or _FACT_OF_OURS.startswith(header[:40]):
        return "a keepfit file"
    return "a safetensors file"


def _pickle(start: bytes) -> str | None:
    if start[0] == 0x80 and len(start) > 1 and 2 <= start[1] <= 5:
        kind = "joblib file" if b"joblib.numpy_pickle" in start else "pickle"
        return f"a {kind} (protocol {start[1]})" if kind == "pickle" else f"a {kind} (pickle, protocol {start[1]})"
    return "a pickle (protocol 0 or 1)" if _PICKLE_0.match(start) else None


def _onnx(start: bytes) -> str | None:
    # A ModelProto begins with its ir_version (field 1, a small number) and its producer's name (field 2, a short text).
    return "an ONNX model" if re.match(rb"\x08[\x01-\x20]\x12[\x01-\x40][\w.-]{2}", start) else None


def _compressed(start: bytes) -> str | None:
    for magic, name, unpack in _COMPRESSIONS:
        if start.startswith(magic):
            inside = _inside(unpack, start) if unpack else b""
            words = _plain(inside) if inside else None
            if words and "pickle" in words:
                return f"a joblib file or pickle compressed with {name}"
            if words and "keepfit" in words:
                return f"a keepfit file compressed with {name}"
            return f"data compressed with {name}"
    return None


def _inside(unpack: _Unpack, start: bytes) -> bytes:
    try:
        return unpack(start)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError):
        return b""


def _archive(ends: bytes) -> str:
    return next((words for name, words in _ARCHIVES if name in ends), "a zip archive")


def _text(start: bytes) -> str | None:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)  # the last character may be cut
    except UnicodeDecodeError:
        return None
    if not all(char.isprintable() or char in "\t\r\n\f" for char in text):
        return None
    if text.lstrip()[:1] in ("{", "[") and _is_json_start(text.lstrip()):
        return "JSON"
    lines = text.splitlines()
    if len(lines) > 1 and any(0 < lines[0].count(mark) == lines[1].count(mark) for mark in ",;\t"):
        return "a table in text (CSV)"
    return "text"


def _is_json_start(text: str) -> bool:
    return bool(re.match(r'\{\s*["}]|\[\s*(?:[\]\[{"tfn]|-?\d)', text))


def _unknown(start: bytes) -> str:
    return f"data of an unknown kind (it begins with {start[:8].hex(' ')})"
