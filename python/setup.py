"""Takes the library that `make all` has built into the package."""
import os
import shutil

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

here = os.path.dirname(os.path.abspath(__file__))


class WithLibrary(build_py):
    def run(self):
        library = os.environ.get("STRATA_LIBRARY") or os.path.join(here, "..", "build", "libstrata.so")
        if not os.path.exists(library):
            raise SystemExit(f"{library} is not there: run `make all` first, or name it in STRATA_LIBRARY")
        super().run()
        shutil.copy(library, os.path.join(self.build_lib, "strata", "libstrata.so"))


class Binary(Distribution):
    """The wheel is of this machine's kind: it holds a shared library."""

    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": WithLibrary}, distclass=Binary)
