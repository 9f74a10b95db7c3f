"""Look into an sdist and its wheels: whether all is there, and nothing else.

    python .ci/contents.py SDIST WHEEL...

Names what is wrong, and ends with status 1 if anything is.
"""

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

LIMIT = 5_000_000  # bytes of a wheel
# By name of what is to be installed: Python, types, kernels for GPUs, the one extension.
INSTALLED = {".py", ".pyi", ".cu", ".cuh", ".so", ".pyd"}
SOURCES = {".py", ".pyi", ".cu", ".cuh"}


def package_files(sdist):
    """The files under fastconv/ in an sdist, and all of its names."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = {name for name in names if name.startswith("fastconv/")}
    return {n for n in package if PurePosixPath(n).suffix or n.endswith("py.typed")}, names


def of_sdist(names):
    wanted = ["tests/conftest.py", "README.md", "LICENSE", "CHANGELOG.md", "setup.py", ".ci/run"]
    wanted += ["fastconv/_native/_core.pyx", "fastconv/_native/level.cpp", "docs/match.py"]
    yield from (f"{name} is missing" for name in wanted if name not in names)
    built = {".so", ".pyd", ".o", ".pyc"}
    yield from (f"{n} was built" for n in sorted(names) if PurePosixPath(n).suffix in built)


def of_wheel(wheel, in_sdist):
    size = Path(wheel).stat().st_size
    if size > LIMIT:
        yield f"{size} bytes are more than {LIMIT}"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        compiled = {name for name in names if PurePosixPath(name).suffix in {".so", ".pyd"}}
        extension = [name for name in compiled if name.startswith("fastconv/_native/_core.")]
        if len(extension) != 1:
            yield f"extensions: {', '.join(sorted(extension)) or 'none'}"
        yield from (f"{name} is another's" for name in sorted(compiled - set(extension)))
        if "linux_" in Path(wheel).name:
            with tempfile.TemporaryDirectory() as folder:
                for name in extension:
                    yield from of_extension(archive.extract(name, folder))
    info = [name for name in names if ".dist-info/" in name]
    yield from (
        f"{name} is missing"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
        if not any(path.endswith(f".dist-info/{name}") for path in info)
    )
    for name in sorted(names - set(info)):
        path = PurePosixPath(name)
        if re.fullmatch(r"fastconv\.libs/msvcp140[^/]*\.dll", name) and "-win_" in Path(wheel).name:
            continue  # the C++ library of Windows' compilers, which Python does not bring along
        if path.parts[0] != "fastconv":
            yield f"{name} is not of the package"
        elif path.suffix not in INSTALLED and path.name != "py.typed":
            yield f"{name} belongs to the sdist"
    expected = {n for n in in_sdist if PurePosixPath(n).suffix in SOURCES or n.endswith("py.typed")}
    yield from (f"{name} is missing" for name in sorted(expected - names))


def of_extension(path):
    """What is wrong in an extension on Linux."""
    # Its sections, and the libraries that it asks for; readelf knows every machine's.
    done = subprocess.run(["readelf", "-SdW", path], capture_output=True, text=True, check=True)
    if ".debug_" in done.stdout:
        yield "symbols for a debugger"
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout)
    system = ("libstdc++.", "libm.", "libgcc_s.", "libc.", "libpthread.", "ld-linux", "ld-musl")
    yield from (f"{name} is needed" for name in needed if not name.startswith(system))


def main(sdist, *wheels):
    package, names = package_files(sdist)
    wrong = {sdist: list(of_sdist(names))}
    wrong |= {wheel: list(of_wheel(wheel, package)) for wheel in wheels}
    for path, reasons in wrong.items():
        size = Path(path).stat().st_size
        print(f"{Path(path).name}: {size} bytes, {len(reasons) or 'nothing'} wrong")
        for reason in reasons:
            print(f"  {reason}")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
