"""Builds the extension: the kernels once per ISA level, everything else once."""

import os
import platform
import shutil
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError, PlatformError

NATIVE = Path("fastconv/_native")
HEADERS = sorted(str(path) for path in NATIVE.glob("*.hpp"))
KERNELS = NATIVE / "level.cpp"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"]
# Of the kernels: unrolled tiles would take minutes to compile with every check, or where no
# optimiser has put their sums into registers before.
KERNEL_SANITIZERS = ["-fno-sanitize=undefined", "-O2", "-g0"]

# The flags of each ISA level, and its name in FASTCONV_MAX_ISA. Only level.cpp sees them.
X86_LEVELS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        *("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
        "-mprefer-vector-width=512",
    ],
}
LEVELS = {"x86_64": X86_LEVELS, "AMD64": X86_LEVELS, "aarch64": {"neon": []}, "arm64": {"neon": []}}

# Stands after CFLAGS, so that a -march=native there cannot raise what every CPU must run.
BASE_ARCHITECTURE = {"x86_64": ["-march=x86-64"], "AMD64": ["-march=x86-64"]}


class BuildExt(build_ext):
    """Compiles level.cpp once per ISA level and links the objects into the extension."""

    def build_extensions(self):
        machine = platform.machine()
        self.require_compiler()
        flags = ["-std=c++17", "-O3", "-fvisibility=hidden", "-fno-math-errno", "-pthread", "-g0"]
        # std=c++17 would switch contraction off; a * b + c is to be one FMA where there is one.
        flags += ["-ffp-contract=fast", *BASE_ARCHITECTURE.get(machine, [])]
        link = ["-pthread"]
        kernel_flags = []
        if os.environ.get("FASTCONV_SANITIZE") == "1":
            # Checked code is large: at -O3 the unrolled tiles would take minutes to compile.
            flags += ["-O1", *SANITIZERS]
            kernel_flags = KERNEL_SANITIZERS
            link += SANITIZERS
        for extension in self.extensions:
            extension.extra_compile_args = flags
            extension.extra_link_args = link
            extension.extra_objects = self.compile_levels(flags + kernel_flags, machine)
        super().build_extensions()

    def compile_levels(self, flags, machine):
        """Compile the kernels of every level; returns the objects."""
        objects = []
        for name, level_flags in LEVELS.get(machine, {"baseline": []}).items():
            objects += self.compiler.compile(
                [str(KERNELS)],
                output_dir=str(Path(self.build_temp) / name),
                macros=[("FASTCONV_LEVEL", name)],
                include_dirs=[str(NATIVE)],
                extra_postargs=flags + level_flags,
                depends=[*HEADERS, str(Path(__file__).name)],
            )
        return objects

    def require_compiler(self):
        """Say what is missing where there is no compiler that can build the kernels."""
        if not self.try_build("int main() { return 0; }", ["-std=c++17"]):
            raise PlatformError(
                "fastconv is a C++ extension and found no working C++17 compiler. Install one "
                "(Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: "
                "xcode-select --install; Windows: clang-cl), or name it in CXX."
            )

    def try_build(self, program, flags):
        """Whether a program compiles and links with these flags."""
        folder = Path(tempfile.mkdtemp())
        try:
            source = folder / "probe.cpp"
            source.write_text(program)
            objects = self.compiler.compile(
                [str(source)], output_dir=str(folder), extra_postargs=flags
            )
            self.compiler.link_executable(
                objects, "probe", output_dir=str(folder), extra_postargs=flags, target_lang="c++"
            )
        except (CompileError, LinkError):
            return False
        finally:
            shutil.rmtree(folder)
        return True


core = Extension(
    "fastconv._native._core",
    sources=[
        str(NATIVE / name)
        for name in (
            "_core.pyx",
            *("blocks.cpp", "boundary.cpp", "channels.cpp", "depthwise.cpp", "direct.cpp"),
            *("dispatch.cpp", "dots.cpp", "finish.cpp", "fourstep.cpp", "gradients.cpp"),
            *("layers.cpp", "linefft.cpp", "lineio.cpp", "scratch.cpp", "small.cpp"),
            *("stages.cpp", "template.cpp", "threads.cpp", "tilecut.cpp", "tilefft.cpp"),
            *("tiletransform.cpp", "window.cpp", "winograd.cpp"),
        )
    ],
    depends=[*HEADERS, str(KERNELS)],
    include_dirs=[str(NATIVE), numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    language="c++",
)

setup(
    ext_modules=cythonize([core], build_dir="build/cython"),
    cmdclass={"build_ext": BuildExt},
)
