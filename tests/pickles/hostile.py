"""Hostile pickle and joblib files, made here so that none is kept in the repository: (category, name, bytes).

Whatever would run creates the file `canary`, and only that. Each is a shape of its own, not one shape with other names.
"""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import lzma
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy.sparse
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

__all__ = ["shapes"]

Shape = tuple[str, str, bytes]


# An assembler


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def octets(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def stacked(module: bytes, attribute: bytes) -> bytes:
    return module + attribute + b"\x93"


def call(function: bytes, *args: bytes) -> bytes:
    return function + b"(" + b"".join(args) + b"tR"


def p4(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


def p2(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def none() -> bytes:
    return b"N"


class _Hostile:
    def __init__(self, canary: Path) -> None:
        self.command = f"touch {canary}"
        self.code = f"open({str(canary)!r}, 'w').close()"
        self.path = str(canary)
        self.system = call(name("posix", "system"), text(self.command))


# Names called directly


def _direct(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    command, code = text(at.command), text(at.code)
    shell = b"](" + text("sh") + text("-c") + command + b"e"
    calls = {
        "os.system": [command], "posix.system": [command], "nt.system": [command], "os.popen": [command],
        "subprocess.call": [shell], "subprocess.Popen": [shell], "subprocess.check_output": [shell],
        "subprocess.run": [shell], "subprocess.getoutput": [command], "builtins.exec": [code], "builtins.eval": [code],
        "builtins.compile": [code, text("x"), text("exec")], "builtins.__import__": [text("os")],
        "builtins.open": [text(at.path), text("w")], "io.open": [text(at.path), text("w")],
        "importlib.import_module": [text("antigravity")], "runpy.run_path": [text(at.path)],
        "timeit.timeit": [code], "cProfile.run": [code], "pdb.run": [code], "code.InteractiveInterpreter": [],
        "pty.spawn": [shell], "shutil.copyfile": [text("/etc/passwd"), text(at.path)],
        "webbrowser.open": [text("http://127.0.0.1:9/")], "socket.create_connection": [text("127.0.0.1")],
        "urllib.request.urlopen": [text("http://127.0.0.1:9/")], "ctypes.CDLL": [text("libc.so.6")],
        "marshal.loads": [octets(b"N")], "pickle.loads": [octets(p2(at.system))], "types.CodeType": [],
        "logging.FileHandler": [text(at.path)], "tempfile.mkstemp": [], "asyncio.run": [none()],
        "threading.Thread": [], "sys.exit": [], "os._exit": [number(3)], "os.abort": [], "os.remove": [text(at.path)],
        "sqlite3.connect": [text(at.path)], "zipimport.zipimporter": [text(at.path)],
    }  # fmt: skip
    for full, args in calls.items():
        module, _, attribute = full.rpartition(".")
        yield full, p2(call(name(module, attribute), *args))


# Names reached through others


def _indirect(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    command = text(at.command)
    system = name("posix", "system")
    builtin = lambda attribute: name("builtins", attribute)  # noqa: E731
    got = call(builtin("getattr"), name("os", "path"), text("os"))
    yield "getattr of a module", p2(call(call(builtin("getattr"), got, text("system")), command))
    yield "attrgetter", p2(call(call(name("operator", "attrgetter"), text("os.system")), name("os", "path")))
    yield "methodcaller", p2(call(call(name("operator", "methodcaller"), text("system"), command), name("os", "path")))
    yield "partial that is called", p2(call(call(name("functools", "partial"), system, command)))
    yield (
        "partial that is kept",
        p2(call(name("functools", "partial"), system) + b"(" + system + b"(" + command + b"t}NtRb".replace(b"R", b"")),
    )
    yield "map", p2(call(builtin("list"), call(builtin("map"), system, b"](" + command + b"e")))
    yield "filter", p2(call(builtin("list"), call(builtin("filter"), system, b"](" + command + b"e")))
    yield "starmap", p2(call(builtin("list"), call(name("itertools", "starmap"), system, b"]((" + command + b"tlae")))
    yield "reduce", p2(call(name("functools", "reduce"), system, b"](" + command + b"e"))
    yield "sorted by a key", p2(call(builtin("sorted"), b"](" + command + b"e"))
    yield "operator.call", p2(call(name("operator", "call"), system, command))
    yield "MethodType", p2(call(call(name("types", "MethodType"), system, command)))
    yield "a computed call", p2(call(call(builtin("eval"), text("__import__('os').system")), command))
    yield "a dotted name", p4(call(stacked(text("os"), text("path.os.system")), command))
    yield "a method of a class", p4(call(stacked(text("pathlib"), text("Path.touch")), text(at.path)))
    yield "__newobj__ of a function", p2(call(name("copyreg", "__newobj__"), system, command))
    yield (
        "_reconstructor with a base",
        p2(call(name("copyreg", "_reconstructor"), builtin("list"), builtin("list"), b"]")),
    )
    yield "a property of a descriptor", p4(call(stacked(text("builtins"), text("object.__getattribute__")), system))
    yield "__subclasses__", p4(call(stacked(text("builtins"), text("object.__subclasses__"))))
    yield "the globals of a function", p4(stacked(text("os"), text("system.__self__.__dict__")))
    yield "defaultdict with a factory", p2(call(name("collections", "defaultdict"), system))
    yield "numpy.vectorize", p2(call(call(name("numpy", "vectorize"), system), command))
    yield "frompyfunc", p2(call(call(name("numpy", "frompyfunc"), system, number(1), number(1)), command))
    yield "apply_along_axis", p2(call(name("numpy", "apply_along_axis"), system, number(0), b"]"))
    yield "a function of FunctionTransformer", _transformer(at)


def _transformer(at: _Hostile) -> bytes:
    from sklearn.preprocessing import FunctionTransformer

    return (
        pickle.dumps(FunctionTransformer(func=print).fit([[0.0]]), protocol=2)
        .replace(b"cbuiltins\nprint\n", b"cposix\nsystem\n")
        .replace(b"c__builtin__\nprint\n", b"cposix\nsystem\n")
    )


# Names inside libraries that are trusted as a whole elsewhere


def _gadgets(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    code, path = text(at.code), text(at.path)
    calls = {
        "numpy.testing._private.utils.runstring": [code, b"}"], "numpy.load": [path], "numpy.fromfile": [path],
        "numpy.memmap": [path], "numpy.loadtxt": [path], "numpy.savetxt": [path, b"]"],
        "numpy.lib._datasource.open": [path], "numpy.ctypeslib.load_library": [path, text("/")],
        "numpy.f2py.crackfortran.getlincoef": [code, b"}"], "numpy.ndarray": [b"(" + number(8) + b"t"],
        "numpy.frombuffer": [octets(bytes(8))], "numpy.fromstring": [text("1")],
        "numpy.lib.stride_tricks.as_strided": [],
        "numpy.seterrcall": [name("posix", "system")], "numpy.distutils.exec_command.exec_command": [text(at.command)],
        "scipy.io.loadmat": [path], "scipy.LowLevelCallable": [], "scipy.datasets.face": [],
        "sklearn.datasets.load_svmlight_file": [path], "sklearn.datasets.fetch_openml": [text("iris")],
        "sklearn.utils._testing._delete_folder": [path], "sklearn.externals.joblib.load": [path],
        "sklearn.utils.metaestimators.attrgetter": [text("os.system")], "sklearn.utils.parallel.Parallel": [],
        "joblib.load": [path], "joblib.numpy_pickle.load": [path], "joblib.Memory": [path],
        "joblib.externals.cloudpickle.loads": [octets(p2(at.system))], "joblib.wrap_non_picklable_objects": [],
        "joblib.externals.loky.backend.spawn.prepare": [b"}"], "joblib._dask.DaskDistributedBackend": [],
        "pandas.read_pickle": [path], "pandas.eval": [code], "pandas.io.common.get_handle": [path, text("w")],
        "cloudpickle.cloudpickle._make_function": [],
    }  # fmt: skip
    for full, args in calls.items():
        module, _, attribute = full.rpartition(".")
        yield full, p2(call(name(module, attribute), *args))
    paths = {
        "sklearn.linear_model._base": "np.load", "sklearn.base": "warnings.sys.modules", "sklearn": "os.system",
        "numpy": "os.system", "numpy.ma.core": "builtins.eval", "scipy.stats._continuous_distns": "np.load",
    }  # fmt: skip
    for module, attribute in paths.items():
        yield f"{module} {attribute}", p4(call(stacked(text(module), text(attribute)), text(at.command)))
    yield (
        "a class that lies about its module",
        p2(name("sklearn.linear_model._evil", "LogisticRegression") + b")\x81" + b"}b"),
    )
    yield "a bare class of scikit-learn, called", p2(call(name("sklearn.svm", "SVC"), text("x")))


# Every family of opcodes


def _families(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    command = text(at.command)
    system = name("posix", "system")
    yield "INST", b"(" + b"S'" + at.command.encode() + b"'\niposix\nsystem\n."
    yield "OBJ", b"(" + system + command + b"o."
    yield "NEWOBJ", p2(name("subprocess", "Popen") + b"(" + command + b"t\x81")
    yield "NEWOBJ_EX", p4(name("subprocess", "Popen") + b")}" + text("args") + command + b"s\x92")
    yield "BUILD of a class", p2(name("sklearn.svm", "SVC") + b"}" + text("predict") + system + b"sb")
    yield (
        "BUILD with a __setstate__",
        p2(name("pathlib", "PurePath") + b")\x81}" + text("__setstate__") + system + b"sb" + command + b"b"),
    )
    yield "GLOBAL, protocol 0", b"cposix\nsystem\n(V" + at.command.encode() + b"\ntR."
    yield "GLOBAL of Python 2", p2(call(name("__builtin__", "eval"), text(at.code)))
    yield "GLOBAL renamed by fix_imports", p2(call(name("commands", "getoutput"), command))
    yield "STACK_GLOBAL", p4(call(stacked(text("posix"), text("system")), command))
    yield (
        "STACK_GLOBAL through the memo",
        p4(text("posix") + b"\x94" + text("system") + b"\x940" + b"0h\x00h\x01\x93(" + command + b"tR"),
    )
    yield "REDUCE with TUPLE1", p2(system + command + b"\x85R")
    for code in (b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"):
        yield f"EXT {code[0]:#x}", p2(code)
    yield "PERSID", b"Phello\n."
    yield "BINPERSID", p2(text("hello") + b"Q")
    yield "NEXT_BUFFER", b"\x80\x05\x97."
    yield "READONLY_BUFFER", b"\x80\x05" + b"C\x01a\x98."
    yield "APPENDS to a name", p2(name("sys", "path") + b"(" + command + b"e")
    yield "SETITEMS of a name", p2(name("sys", "modules") + b"(" + text("os") + none() + b"u")
    yield "ADDITEMS to a name", p4(name("sys", "path") + b"(" + command + b"\x90")
    yield "a name that is thrown away", p2(name("antigravity", "geohash") + b"0N")
    yield "a call that is thrown away", p2(at.system + b"0N")
    yield "a call inside a dict's key", p2(b"}" + at.system + number(1) + b"s")
    yield "a call inside a set", p4(b"\x8f(" + at.system + b"\x90")
    yield "a call inside a frozenset", p4(b"(" + at.system + b"\x91")


# Names and values that are made up on the way


def _computed(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    command = text(at.command)
    joined = call(stacked(text("builtins"), text("str.join")), text(""), b"](" + text("po") + text("six") + b"e")
    yield "a joined name", p4(call(stacked(joined, text("system")), command))
    yield (
        "a formatted name",
        p4(
            call(
                stacked(call(stacked(text("builtins"), text("str.format")), text("p{}x"), text("osi")), text("system"))
            )
        ),
    )
    yield "a name of bytes", p4(call(stacked(octets(b"posix"), text("system")), command))
    yield (
        "a decoded name",
        p4(call(stacked(call(name("_codecs", "encode"), text("posix"), text("latin1")), text("system")), command)),
    )
    yield "a name of a class", p4(call(stacked(text("posix"), name("builtins", "str")), command))
    yield "a name with a line in it", p4(call(stacked(text("posix\nsystem"), text("x")), command))
    yield "a name with a space", p4(call(stacked(text("posix "), text("system")), command))
    yield "an empty name", p4(call(stacked(text("posix"), text("")), command))
    yield "a name of look-alikes", p4(call(stacked(text("p\u043esix"), text("system")), command))
    yield "arguments that are a list", p2(name("posix", "system") + b"](" + command + b"eR")
    yield "arguments that are computed", p2(name("posix", "system") + call(name("builtins", "tuple"), b"]") + b"R")
    yield "a state that is computed", p2(name("sklearn.svm", "SVC") + b")\x81" + at.system + b"b")
    yield (
        "a dtype that is computed",
        p2(call(name("numpy", "dtype"), call(name("builtins", "str"), text("f8")), b"\x89", b"\x88")),
    )


def _memo(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    command = text(at.command)
    swap = text("math") + b"q\x00" + b"0" + text("posix") + b"q\x00" + b"0h\x00"
    yield "an entry written twice", p4(call(stacked(swap, text("system")), command))
    yield "an entry that is not there", p2(b"h\x07")
    yield "an entry far out", p2(b"Nr\xff\xff\xff\x7f")
    yield "an entry spelled in octal", b"cposix\nsystem\np01\n(V" + at.command.encode() + b"\ntR."
    yield "an entry of a negative number", b"Np-1\n."
    yield "an entry under a mark", p2(b"(q\x00N")
    yield "a mark that is popped", p2(b"(0" + at.system)
    yield "a tuple across a mark", p2(b"N(\x85")
    yield "a pop of nothing", p2(b"0N")
    yield (
        "a list that grows after a set was made of it",
        p2(name("builtins", "set") + b"](" + text("a") + b"eq\x00\x85Rh\x00" + text("b") + b"a\x86"),
    )
    yield "a second state", pickle.dumps(np.arange(3), protocol=2)[:-1] + b"(K\x01K\x03\x85Ntb."
    yield "a dtype that changes after its use", p2(
        name("numpy", "dtype") + b"X\x02\0\0\0f8\x89\x88\x87Rq\x01" + name("numpy._core.multiarray", "scalar")
        + b"h\x01" + call(name("_codecs", "encode"), text("\0" * 8), text("latin1")) + b"\x86Rh\x01(K\x03"
        + text(">") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x86"
    )  # fmt: skip


# Streams that two readers take in different ways


def _desynchronised(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    after = at.system + b"."
    yield "an int in hexadecimal", b"I0x41\n0" + after
    yield "an int with underscores", b"I1_0\n0" + after
    yield "an int in octal", b"I010\n0" + after
    yield "an int with spaces", b"I 1\n0" + after
    yield "an int with a plus", b"I+1\n0" + after
    yield "a long without its L", b"L10\n0" + after
    yield "a float with underscores", b"F1_0.0\n0" + after
    yield "a float with zeros", b"F1.000\n0" + after
    yield "a float that is a word", b"FInfinity\n0" + after
    yield "a string with escapes", b"S'\\x41'\n0" + after
    yield "a string in two quotes", b"S'a\"\n0" + after
    yield "a text with wide escapes", b"V\\U00000041\n0" + after
    yield "a line without end", b"Vabc" + after
    yield "a second PROTO", b"\x80\x04N0\x80\x02" + after
    yield "a PROTO of 6", b"\x80\x06" + after
    yield "an opcode of a later protocol", b"\x80\x02\x8c\x05posix0" + after
    yield "a second pickle", p2(b"N") + p2(at.system)
    yield "bytes behind STOP", p2(b"N") + b"\0"
    yield "a frame that is too long", b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + after
    body = b"X" + struct.pack("<I", 5) + b"hello0" + after
    yield "a frame that is straddled", b"\x80\x04\x95" + struct.pack("<Q", 7) + body
    yield "a frame inside a frame", b"\x80\x04\x95" + struct.pack("<Q", 30) + b"\x95" + struct.pack("<Q", 4) + after
    yield "a STOP inside a frame", b"\x80\x04\x95" + struct.pack("<Q", 3) + b"N.N."
    yield "a negative length", p2(b"\x8b\xff\xff\xff\xff" + at.system)
    yield "a text that is not UTF-8", p2(b"X\x02\0\0\0\xff\xfe0" + at.system)
    yield "a string of Python 2 that is not ASCII", p2(b"U\x02\xff\xfe0" + at.system)
    yield "two values at the STOP", p2(b"NN")
    yield "a mark at the STOP", p2(b"(N")
    yield "no STOP", b"\x80\x02N"
    yield "a dict with half a pair", p2(b"(Nd")


# Containers and compressors


def _wrapped(array: Any, **changes: Any) -> bytes:
    """A joblib file of one array with another description of it."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    wrapper = NumpyArrayWrapper(type(array), array.shape, "C", array.dtype, numpy_array_alignment_bytes=None)
    vars(wrapper).update(changes)
    return pickle.dumps(wrapper, protocol=2)[:-1] + array.tobytes() + b"."


class _Command:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        import os

        return os.system, (self.command,)


def _joblib(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


def _zip(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, contents in members.items():
            archive.writestr(member.replace("_", "."), contents)
    return file.getvalue()


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _containers(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    plain, evil = p2(at.system), _Command(at.command)
    yield "zlib", zlib.compress(plain)
    yield "gzip", gzip.compress(plain)
    yield "bz2", bz2.compress(plain)
    yield "xz", lzma.compress(plain)
    yield "lzma", lzma.compress(plain, lzma.FORMAT_ALONE)
    yield "the old header of joblib", b"ZF" + hex(len(plain)).ljust(19).encode() + zlib.compress(plain)
    yield "gzip of two members", gzip.compress(p2(b"N")) + gzip.compress(plain)
    yield "gzip with bytes behind", gzip.compress(p2(b"N")) + plain
    yield "zlib cut short", zlib.compress(plain)[:-4]
    yield "joblib", _joblib([np.arange(5.0), evil])
    yield "joblib, compressed", _joblib([np.arange(5.0), evil], compress=3)
    yield "joblib, behind many raw arrays", _joblib([*map(np.arange, range(50)), evil])
    yield "joblib, in an array of objects", _joblib(np.array([evil, None], dtype=object))
    yield "joblib, in an estimator", _joblib(_with(StandardScaler().fit([[0.0], [1.0]]), mean_=evil))
    yield "a raw array that plain pickle takes for opcodes", _wrapped(np.frombuffer(plain.ljust(64, b"N"), "u1"))
    yield "a raw array in a file beside it", _elsewhere(at)
    yield "a raw array of another class", _wrapped(np.arange(3.0), subclass=_Command)
    yield "a raw array longer than the file", _wrapped(np.arange(3.0), shape=(10**9,))
    yield "a raw array of a negative shape", _wrapped(np.arange(3.0), shape=(-3,))
    yield "a raw array of objects without a pickle", _wrapped(np.arange(3.0), dtype=np.dtype(object))
    yield "npy of objects", _npy(np.array([evil], dtype=object))
    yield "npz of objects", _zip(a_npy=_npy(np.arange(3)), b_npy=_npy(np.array([evil], dtype=object)))
    yield "zip", _zip(data_pkl=plain, notes_txt=b"hello")
    yield "a zip inside a zip", _zip(inner_zip=_zip(data_pkl=plain))
    yield "a pickle in front of a zip", plain + _zip(data_pkl=p2(b"N"))
    yield "a PyTorch archive", _zip(data_pkl=p2(text("storage") + b"Q"))


def _elsewhere(at: _Hostile) -> bytes:
    return p2(name("joblib.numpy_pickle", "NDArrayWrapper") + b")\x81}(" + text("filename") + text(at.path) + b"ub")


def _with(model: Any, **attributes: Any) -> Any:
    model = copy.copy(model)
    model.__dict__.update(attributes)
    return model


# States of compiled objects that would read or write memory that is not theirs


def _array(dtype: bytes, shape: bytes, data: bytes, version: bytes = b"K\x01") -> bytes:
    begun = call(name("numpy._core.multiarray", "_reconstruct"), name("numpy", "ndarray"), b"K\x00\x85", octets(b"b"))
    return begun + b"(" + version + shape + dtype + b"\x89" + data + b"tb"


def _dtype(spelled: str, state: bytes = b"") -> bytes:
    return name("numpy", "dtype") + text(spelled) + b"\x89\x88\x87R" + state


def _p3(body: bytes) -> bytes:
    return b"\x80\x03" + body + b"."


def _unsafe_numpy(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    simple = b"(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    pointers = octets(struct.pack("<Q", 0x4141414141414141))
    yield "an array of objects made of bytes", _p3(_array(_dtype("O8", simple), b"K\x01\x85", pointers))
    yield "the same without a state of its dtype", _p3(_array(_dtype("O8"), b"K\x01\x85", pointers))
    yield (
        "a scalar of an object made of bytes",
        _p3(call(name("numpy._core.multiarray", "scalar"), _dtype("O8", simple), pointers)),
    )
    yield "a buffer of objects", b"\x80\x05" + call(
        name("numpy._core.numeric", "_frombuffer"), pointers, _dtype("O8", simple), b"K\x01\x85", text("C")
    ) + b"."  # fmt: skip
    inside = b"(" + text("a") + b"(" + _dtype("O8", simple) + b"K\x00tu"
    record = _dtype("V8", b"(K\x03X\x01\0\0\0|N" + text("a") + b"\x85}" + inside + b"K\x08K\x01K\x10tb")
    yield "a record with an object inside", _p3(_array(record, b"K\x01\x85", pointers))
    far = b"(" + text("a") + b"(" + _dtype("f8") + b"M\xff\xfftu"
    yield (
        "a field outside its record",
        _p3(
            _array(
                _dtype("V8", b"(K\x03X\x01\0\0\0|N" + text("a") + b"\x85}" + far + b"K\x08K\x01K\x10tb"),
                b"K\x01\x85",
                pointers,
            )
        ),
    )
    yield (
        "a record that is smaller than it says",
        _p3(_array(_dtype("V4", b"(K\x03X\x01\0\0\0|NNNM\xff\xffK\x01K\x00tb"), b"K\x02\x85", pointers)),
    )
    yield "an array larger than its bytes", _p3(_array(_dtype("f8"), b"M\xff\xff\x85", pointers))
    yield "an array of a negative length", _p3(_array(_dtype("f8"), b"J\xff\xff\xff\xff\x85", pointers))
    yield (
        "an array whose size overflows",
        _p3(_array(_dtype("f8"), b"\x8a\x08" + struct.pack("<q", 2**61) + b"K\x04\x86", octets(b""))),
    )
    yield "an array of a text for bytes", _p3(_array(_dtype("f8"), b"K\x01\x85", text("abcdefgh")))
    yield "an array of an unknown version", _p3(_array(_dtype("f8"), b"K\x01\x85", pointers, b"K\x09"))
    yield "characters that are none", _p3(_array(_dtype("U1"), b"K\x01\x85", octets(b"\xff\xff\xff\x7f")))
    yield "bools that are none", _p3(_array(_dtype("b1"), b"K\x01\x85", octets(b"\x07")))
    yield "a dtype with metadata", pickle.dumps(np.dtype("f8", metadata={"a": 1}))
    yield (
        "a subclass of arrays",
        pickle.dumps(np.arange(3), protocol=2).replace(b"cnumpy\nndarray", b"cnumpy\nchararray"),
    )
    yield "an array that contains itself", _self_containing()


def _self_containing() -> bytes:
    array = np.empty(1, dtype=object)
    array[0] = array
    return pickle.dumps(array)


def _unsafe_models(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    X, y = load_iris(return_X_y=True)
    forest = pickle.dumps(RandomForestClassifier(2, max_depth=3, random_state=0).fit(X, y), protocol=5)
    tree = RandomForestClassifier(1, max_depth=3, random_state=0).fit(X, y).estimators_[0]
    nodes = tree.tree_.__getstate__()["nodes"]
    for field, value in (("left_child", 10**6), ("right_child", -7), ("feature", 999), ("left_child", 0)):
        changed = nodes.copy()
        changed[field][0] = value
        data = pickle.dumps(tree, protocol=5)
        assert nodes.tobytes() in data
        yield f"a tree with {field} {value}", data.replace(nodes.tobytes(), changed.tobytes())
    yield "a forest cut in its nodes", forest.replace(b"node_count", b"max_depth_", 1)
    knn = KNeighborsClassifier(algorithm="kd_tree").fit(X, y)
    order = np.asarray(knn._tree.get_arrays()[1])
    yield (
        "a KD tree with an index outside",
        pickle.dumps(knn, protocol=5).replace(order.tobytes(), np.full_like(order, 10**7).tobytes()),
    )
    boosted = HistGradientBoostingClassifier(max_iter=2).fit(X, y)
    nodes = boosted._predictors[0][0].nodes
    changed = nodes.copy()
    changed["left"] = 4_000_000
    yield (
        "histogram boosting with a child outside",
        pickle.dumps(boosted, protocol=5).replace(nodes.tobytes(), changed.tobytes()),
    )
    svc = SVC().fit(X, y)
    yield "libsvm with negative counts", pickle.dumps(_with(svc, _n_support=np.array([-9, 200, 10], np.int32)))
    matrix = scipy.sparse.csr_matrix(np.eye(4))
    matrix.indices[:] = 10**6
    yield "CSR with an index outside", pickle.dumps(matrix)
    matrix = scipy.sparse.csr_matrix(np.eye(4))
    matrix.indptr[-1] = 10**6
    yield "CSR with a pointer outside", pickle.dumps(matrix)
    random = np.random.RandomState(0)
    data = pickle.dumps(random, protocol=2)
    yield "a RandomState past its end", data.replace(b"M\x70\x02", b"M\xff\xff")
    encoder = OneHotEncoder().fit([["a"], ["b"]])
    yield "an encoder whose counts lie", pickle.dumps(_with(encoder, _n_features_outs=[-5]))
    logistic = LogisticRegression().fit(X, y)
    yield "an attribute that shadows a method", pickle.dumps(_with(logistic, predict=print))
    yield "an attribute with a name of Python's", pickle.dumps(_with(logistic, __class__=1))
    words = TfidfVectorizer(input="filename")
    yield "a vectorizer that reads files", pickle.dumps(words)
    yield "a regular expression without end", pickle.dumps(TfidfVectorizer(token_pattern=r"(a+)+$"))
    yield "two releases in one file", _of_two_releases([logistic, StandardScaler()])
    yield "no release", pickle.dumps(logistic, protocol=2).replace(b"_sklearn_version", b"_sklearn_varsion")


def _of_two_releases(models: Any) -> bytes:
    import sklearn

    file = io.BytesIO()
    pickler = pickle.Pickler(file, 2)
    pickler.fast = True  # without a memo, so that each model has its release for itself
    pickler.dump(models)
    release = sklearn.__version__.encode()
    return file.getvalue().replace(release, release[:-1] + b"7", 1)


# More than any machine has


def _bombs(at: _Hostile) -> Iterator[tuple[str, bytes]]:
    yield "bytes of exabytes", b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"."
    yield "a text of gigabytes", b"\x80\x02X" + struct.pack("<I", 0xF0000000) + b"."
    yield "a bytearray of gigabytes", b"\x80\x05\x96" + struct.pack("<Q", 1 << 33) + b"."
    yield "an int of megabytes", p2(b"\x8b" + struct.pack("<i", 1 << 22) + b"\1" * (1 << 22))
    yield "an int of a million digits", b"L" + b"9" * 10**6 + b"L\n."
    yield "zlib that grows a thousandfold", zlib.compress(bytes(90 << 20), 1)
    yield "bz2 that grows a millionfold", bz2.compress(bytes(90 << 20), 1)
    yield "xz that grows ten-thousandfold", lzma.compress(bytes(90 << 20), preset=0)
    yield "a zip that grows a thousandfold", _zip(a_npy=bytes(90 << 20))
    yield "keys that double", p2(b"}" + _doubling(60) + b"Ns")
    yield "elements that double", p4(b"\x8f(" + _doubling(60) + b"\x90")
    yield "keys that collide", pickle.dumps({n * (2**61 - 1): n for n in range(2000)})
    yield "three million lists", p2(b"](" + b"]" * (3 * 10**6) + b"e")
    yield "a million marks", p2(b"(" * 10**6)
    yield (
        "a shape without bytes and without end",
        _p3(_array(_dtype("f8"), b"\x8a\x08" + struct.pack("<q", 2**60) + b"K\x00\x86", octets(b""))),
    )
    yield "a decimal number of a million digits", p2(call(name("decimal", "Decimal"), text("1" * 10**6)))
    yield "a fraction with a giant exponent", p2(call(name("fractions", "Fraction"), text("1e999999999")))
    deep = _dtype("f8")
    for _ in range(500):
        deep = _dtype("V8", b"(K\x03X\x01\0\0\0|" + deep + b"K\x01\x85\x86NNK\x08K\x01K\x00tb")
    yield "a dtype of dtypes of dtypes", p2(deep)
    yield "arrays of arrays of arrays", _nested_arrays()
    yield "a deque of deques of deques", p2(_nest(b"ccollections\ndeque\n)R", b"a", 3 * 10**4))
    yield "a seed sequence of a megabyte", _seed()
    yield "a memo of gigabytes", p2(b"Nr\xff\xff\xff\xff")
    models = _with(StandardScaler(), copy=True)
    for _ in range(60):
        models = _with(LogisticRegression(), classes_=[models, models])
    yield "estimators that double", pickle.dumps(models)


def _doubling(times: int) -> bytes:
    """A tuple of one tuple twice, and so on: short to write, for ever to hash."""
    body = b")"
    for _ in range(times):
        body += b"2\x86"
    return body


def _nest(begin: bytes, end: bytes, times: int) -> bytes:
    return begin * times + end * (times - 1)


def _nested_arrays() -> bytes:
    begun = name("numpy._core.multiarray", "_reconstruct") + b"(" + name("numpy", "ndarray") + b"K\x00\x85U\x01btR"
    return p2((begun + b"(K\x01K\x01\x85" + _dtype("O8") + b"\x89]") * 300 + b"N" + b"atb" * 300)


def _seed() -> bytes:
    words = [2**31] * 10**5
    return pickle.dumps(np.random.PCG64(np.random.SeedSequence(words[:600])), protocol=4)


_CATEGORIES = {
    "direct calls": _direct,
    "indirection": _indirect,
    "gadgets in libraries": _gadgets,
    "opcode families": _families,
    "computed names": _computed,
    "memo and stack": _memo,
    "two readings": _desynchronised,
    "containers": _containers,
    "unsafe arrays": _unsafe_numpy,
    "unsafe models": _unsafe_models,
    "resource bombs": _bombs,
}


def shapes(canary: Path) -> Iterator[Shape]:
    """All hostile files; what runs in one creates `canary`."""
    at = _Hostile(canary)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for category, make in _CATEGORIES.items():
            for label, data in make(at):
                yield category, label, data
