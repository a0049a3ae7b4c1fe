"""Takes from a fresh root of Debian packages what no training needs: mmdebstrap runs it in that root, with the root's own Python.

Debian's PyTorch is linked to OpenCV, FFmpeg and all that these are linked to: 1.8 GB of packages, of which a third can be reached.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

LIBRARIES = next(Path("/usr/lib").glob("*-linux-gnu"))
LOADER = next(Path(folder, name) for folder in ("/lib64", "/lib") for name in os.listdir(folder) if name.startswith("ld-linux"))
PYTHON = Path("/usr/lib/python3.11")
PACKAGES = Path("/usr/lib/python3/dist-packages")
KEPT = {
    Path("/usr"): {"bin", "lib", "lib64", "share", "local", "sbin"},
    Path("/usr/bin"): {"python3", "python3.11"},
    Path("/usr/lib"): {LIBRARIES.name, PACKAGES.parent.name, PYTHON.name, "ssl"},
    Path("/usr/share"): {"matplotlib", "python3", "zoneinfo"},
    Path("/usr/sbin"): set(),
}
LEFT_OUT = {
    PYTHON: ("config-*", "test", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip"),
    PACKAGES: ("hypothesis", "lxml", "mpmath", "pythran", "scipy", "sympy", "torch/bin/*Test", "torch/bin/test_*", "torch/include", "*/tests", "*/*/tests"),
}


def main() -> None:
    # what update-alternatives would have done
    for name in ("libblas.so.3", "liblapack.so.3", "libopenblas.so.0"):
        (LIBRARIES / name).unlink(missing_ok=True)
        (LIBRARIES / name).symlink_to(f"openblas-pthread/{name}")
    for folder, patterns in LEFT_OUT.items():
        for pattern in patterns:
            for path in list(folder.glob(pattern)):
                remove(path)
    reached = closure([Path("/usr/bin/python3.11"), *PYTHON.rglob("*.so"), *PACKAGES.rglob("*.so")])
    for folder, names in KEPT.items():
        for path in list(folder.iterdir()):
            if path.name not in names and path not in reached:
                remove(path)
    # The C library, in /lib, stays whole: pyarrow, built elsewhere, is linked to parts of it that Debian's programs are not.
    for path in [each for each in LIBRARIES.rglob("*") if each.is_symlink() or each.is_file()]:
        if path not in reached:
            path.unlink()
    # Debian's 1.13.1 calls itself 1.13.0a0, which pip takes for older than 1.13
    for path in PACKAGES.glob("torch-*/PKG-INFO"):
        path.write_text(re.sub(r"(?m)^Version: .*$", "Version: 1.13.1", path.read_text(), count=1))


def closure(files: list[Path]) -> set[Path]:
    """The shared libraries that these are linked to, directly or not: links and what they point to."""
    found: set[Path] = set()
    for file in filter(Path.is_file, files):
        listed = subprocess.run([LOADER, "--list", file], capture_output=True, text=True)
        if listed.returncode:
            raise SystemExit(f"{file}: {listed.stderr}")
        for path in (str(file), *re.findall(r"(?:=> |^\t)(/\S+)", listed.stdout, re.MULTILINE)):
            link = Path(path)
            found |= {link, link.resolve(), link.parent.resolve() / link.name}
            while link.is_symlink():
                link = link.parent / os.readlink(link)
                found.add(Path(os.path.normpath(link)))
    return found


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


main()
