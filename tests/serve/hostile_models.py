"""Models that harm the process they are in. They are kept like any other, and loaded with ``trusted=``."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class _Model(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        """Does harm where the first value of a row is over 100; what is asked at loading is not."""
        X = np.asarray(X)
        if (X[:, 0] > 100).any():
            self.harm(X)
        return np.zeros(len(X))

    def harm(self, X: Any) -> None:
        raise NotImplementedError


class Aborting(_Model):
    def harm(self, X: Any) -> None:
        os.abort()


class Crashing(_Model):
    def harm(self, X: Any) -> None:
        ctypes.string_at(0)


class Exiting(_Model):
    def harm(self, X: Any) -> None:
        raise SystemExit(0)


class Spinning(_Model):
    def harm(self, X: Any) -> None:
        while True:
            pass


class Sleeping(_Model):
    def harm(self, X: Any) -> None:
        time.sleep(float(X[0, 1]))


class Bloating(_Model):
    def harm(self, X: Any) -> None:
        # Zeros that nobody has looked at take memory and hardly any time, of which there is a limit as well.
        found = [bytes(1 << 24)]
        while True:
            found.append(bytes(1 << 24))


class Failing(_Model):
    def harm(self, X: Any) -> None:
        raise LookupError("this cannot be told")


class Talking(_Model):
    """Writes to the socket it finds."""

    def harm(self, X: Any) -> None:
        for number in range(3, 10):
            try:
                os.write(number, b"\x03\x00\x00\x00\x91\xa5wrong" * 3)
            except OSError:
                continue


class Lying(_Model):
    """Has the worker it is in give answers of the right form that cannot be, by the way that the second value names."""

    WAYS: tuple[dict[str, Any], ...] = (
        {"data": b""},
        {"data": bytes(80)},
        {"datatype": "FP65"},
        {"datatype": "FP32"},  # of which the data is twice as long
        {"shape": (3,), "data": bytes(24)},
        {"shape": ()},
        {"shape": (2**40,)},
        {"name": "predict_proba"},
        {"name": "x" * 100_000},
        {"datatype": "BYTES"},
        {"datatype": "BYTES", "data": b"\x02\x00\x00\x00\xff\xff"},
        {"datatype": "BYTES", "data": b"\xff\xff\xff\xff"},
        {"count": 0},
        {"count": 2},
        {"cpu_s": float("nan")},
        {"cpu_s": float("inf")},
    )

    def harm(self, X: Any) -> None:
        from keepfit.serve import predicting, worker
        from keepfit.serve.messages import Answer
        from keepfit.serve.tensors import Tensor

        lie = self.WAYS[int(X[0, 1])]

        def tensor(name: str, array: Any) -> Tensor:
            true = {"name": name, "datatype": "FP64", "shape": array.shape, "data": array.tobytes()}
            return Tensor(**{field: lie.get(field, value) for field, value in true.items()})

        def answer(outputs: Any, cpu_s: float, rows: int) -> Answer:
            return Answer(outputs * lie.get("count", 1), lie.get("cpu_s", cpu_s), rows)

        predicting.from_array, worker.Answer = tensor, answer


class Reaching(_Model):
    """Tries to get out, by the way that the second value names, and predicts which error that was (0 for none)."""

    WAYS = (
        "open",
        "write",
        "stat",
        "list",
        "socket",
        "thread",
        "fork",
        "exec",
        "kill",
        "chdir",
        "unlink",
        "socketpair",
    )

    def predict(self, X: Any) -> Any:
        X = np.asarray(X)
        if X[0, 0] <= 100:
            return np.zeros(len(X))
        try:
            self.reach(self.WAYS[int(X[0, 1])])
        except OSError as error:
            return np.full(len(X), error.errno)
        except RuntimeError:  # threading's word for EPERM
            return np.full(len(X), 1)
        return np.zeros(len(X))

    def reach(self, way: str) -> None:
        {
            "open": lambda: Path("/etc/passwd").read_bytes(),
            "write": lambda: Path("/tmp/escaped").write_bytes(b""),
            "stat": lambda: os.stat("/etc/passwd"),
            "list": lambda: os.listdir("/"),
            "socket": lambda: socket.create_connection(("127.0.0.1", 9)),
            "thread": lambda: threading.Thread(target=int).start(),
            "fork": os.fork,
            "exec": lambda: os.execv("/bin/true", ["true"]),
            "kill": lambda: os.kill(os.getppid(), signal.SIGKILL),
            "chdir": lambda: os.chdir("/"),
            "unlink": lambda: os.unlink("/tmp/no such file"),
            "socketpair": socket.socketpair,
        }[way]()
