# SPDX-License-Identifier: MIT
"""The build backend: scikit-build-core, and the sources of lfi that lie above this folder put into the sdist.

An sdist holds all that a wheel is made of, in ``lfi-src``: the library, the tools, and the source archive of musl for
the sysroot. With the build requirements installed, a wheel is built of it without a network.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scikit_build_core import build as _build
from scikit_build_core.build import *  # noqa: F403

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
INSIDE = "lfi-src"

FOLDERS = ("cmake", "include", "lib", "tools", "toolchain", "examples")
FILES = ("CMakeLists.txt", "CMakePresets.json", "LICENSE")


def _musl() -> Path:
    """The source archive of musl, fetched as the build would."""
    downloads = ROOT / "build" / "downloads"
    done = subprocess.run(
        [ROOT / "toolchain" / "fetch.sh", "musl", downloads], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit("lfi: the source archive of musl cannot be fetched; LFI_MUSL_TARBALL=FILE uses one that is there")
    return Path(done.stdout.strip().splitlines()[-1])


def _copy(folder: Path) -> None:
    """This folder, and what is above it."""
    left_out = shutil.ignore_patterns("__pycache__", "build", "dist", "*.so")
    shutil.copytree(HERE, folder, ignore=left_out)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / INSIDE / name, ignore=left_out)
    for name in FILES:
        shutil.copy2(ROOT / name, folder / INSIDE / name)
    shutil.copy2(_musl(), folder / INSIDE / "musl.tar")


def build_sdist(sdist_directory, config_settings=None):
    if (HERE / INSIDE).exists():
        return _build.build_sdist(sdist_directory, config_settings)
    sdist_directory = str(Path(sdist_directory).resolve())
    back = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "python"
        _copy(folder)
        os.chdir(folder)
        try:
            return _build.build_sdist(sdist_directory, config_settings)
        finally:
            os.chdir(back)
