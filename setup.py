"""What pyproject.toml cannot say yet: the one compiled module. Everything else is told there."""

import sysconfig

from setuptools import Extension, setup

# `optional`: where there is no C compiler keepfit installs without it, and checks trees by NumPy.
kernel = Extension(
    "keepfit.codecs._tree_kernel", ["src/keepfit/codecs/_tree_kernel.c"], py_limited_api=True, optional=True
)
has_limited_api = not sysconfig.get_config_var("Py_GIL_DISABLED")  # a CPython without its lock has none

setup(
    ext_modules=[kernel] if has_limited_api else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if has_limited_api else {},
)
