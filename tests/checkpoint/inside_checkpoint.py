"""A pytest plugin: every test runs inside ``keepfit.checkpoint`` on the store that KEEPFIT_SUITE_STORE names."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

import keepfit


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with keepfit.checkpoint(os.environ["KEEPFIT_SUITE_STORE"], progress=False):
        return (yield)
