"""Builds the extension: the kernels once per ISA level, everything else once."""

import os
import shutil
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError, PlatformError
from setuptools.modified import newer_group

NATIVE = Path("fastconv/_native")
HEADERS = sorted(str(path) for path in NATIVE.glob("*.hpp"))
KERNELS = NATIVE / "level.cpp"
SETUP = Path(__file__).name
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g"]
# Of the kernels: unrolled tiles would take minutes to compile with every check, or where no
# optimiser has put their sums into registers before.
KERNEL_SANITIZERS = ["-fno-sanitize=undefined", "-O2", "-g0"]

# The flags of each ISA level, and its name in FASTCONV_MAX_ISA; by machine, named by the macro that
# compilers define for it, as dispatch.cpp does. Only level.cpp sees them.
LEVELS = {
    "__x86_64__": {
        "baseline": [],
        "avx2": ["-mavx2", "-mfma"],
        "avx512": [
            *("-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
            "-mprefer-vector-width=512",
        ],
    },
    "__aarch64__": {"neon": []},
}
# Of the kernels, where GCC compiles them: it would load all that an unrolled step needs ahead of
# its first sum, and push other sums out of their registers.
GCC_KERNELS = {"__aarch64__": ["-fno-schedule-insns"]}

# Stands after CFLAGS, so that a -march=native there cannot raise what every CPU must run.
BASE_ARCHITECTURE = {"__x86_64__": ["-march=x86-64"]}

# What clang-cl is to compile for; by itself it would take the machine that it runs on.
WINDOWS_TARGETS = {
    "win32": "i686-pc-windows-msvc",
    "win-amd64": "x86_64-pc-windows-msvc",
    "win-arm64": "aarch64-pc-windows-msvc",
}


class BuildExt(build_ext):
    """Compiles level.cpp once per ISA level and links the objects into the extension."""

    def build_extensions(self):
        self.is_msvc = self.compiler.compiler_type == "msvc"
        if self.is_msvc:
            self.take_clang_cl()
            standard = ["/std:c++17", "-Wno-unused-command-line-argument", self.windows_target()]
        else:
            standard = ["-std=c++17", "-pthread", "-fvisibility=hidden", "-g0"]
        self.require_compiler(standard)
        # std=c++17 would switch contraction off; a * b + c is to be one FMA where there is one.
        flags = ["-O3", "-fno-math-errno", "-ffp-contract=fast"]
        flags = standard + self.spelled(flags)
        link = [self.clang_runtime()] if self.is_msvc else ["-pthread"]
        kernel_flags = []
        if os.environ.get("FASTCONV_SANITIZE") == "1":
            # Checked code is large: at -O3 the unrolled tiles would take minutes to compile.
            flags += ["-O1", *SANITIZERS]
            kernel_flags = KERNEL_SANITIZERS
            link += SANITIZERS
        targets = self.targets(standard)
        objects = []
        for select, machine in targets:
            objects += self.compile_levels(machine, flags + select + kernel_flags)
        if len(targets) == 1:  # one -march cannot be right for two
            flags += self.spelled(BASE_ARCHITECTURE.get(targets[0][1], []))
        for extension in self.extensions:
            extension.extra_compile_args = flags
            extension.extra_link_args = link
            extension.extra_objects = objects
            extension.depends = [*extension.depends, *objects]  # a level's new flags link it anew
        super().build_extensions()

    def take_clang_cl(self):
        """Put clang-cl in the place of cl, which has no vector types for the kernels."""
        if not self.compiler.initialized:
            self.compiler.initialize(self.plat_name)
        llvm = Path(os.environ.get("PROGRAMFILES", ""), "LLVM", "bin")
        name = os.environ.get("CXX", "clang-cl")
        found = shutil.which(name) or shutil.which(name, path=str(llvm))
        if not found:
            raise PlatformError(
                f"fastconv's kernels need {name}, which is not to be found. Install LLVM "
                "(winget install LLVM.LLVM), or name clang-cl in CXX."
            )
        self.compiler.cc = found

    def windows_target(self):
        """The flag that tells clang-cl what to compile for."""
        return f"--target={WINDOWS_TARGETS[self.plat_name]}"

    def clang_runtime(self):
        """The library that tells the CPU's features, which Microsoft's linker does not look for."""
        question = ["/clang:--print-libgcc-file-name", "/clang:--rtlib=compiler-rt"]
        command = [self.compiler.cc, self.windows_target(), *question]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def spelled(self, flags):
        """Flags of Clang's and GCC's, as the compiler in use takes them."""
        return [f"/clang:{flag}" for flag in flags] if self.is_msvc else flags

    def targets(self, flags):
        """What the compiler compiles for: flags that select a machine, and its macro or None.

        The compiler is asked, as the machine that Python runs on may be another one. On macOS there
        may be two: each has levels of its own, and the linker takes from every object what fits.
        """
        given = []
        if sys.platform == "darwin":
            given = os.environ.get("ARCHFLAGS", "").split() or self.compiler.compiler_so
        named = [["-arch", name] for before, name in pairwise(given) if before == "-arch"]
        return [
            (select, next((macro for macro in LEVELS if self.defines(macro, flags + select)), None))
            for select in named or [[]]
        ]

    def compile_levels(self, machine, flags):
        """Compile the kernels of every level of a machine, where changed; returns the objects."""
        flags = flags + self.spelled(BASE_ARCHITECTURE.get(machine, []))
        if machine in GCC_KERNELS and not self.defines("__clang__", flags):
            flags += GCC_KERNELS[machine]
        objects = []
        for name, level_flags in LEVELS.get(machine, {"baseline": []}).items():
            folder = str(Path(self.build_temp) / name)
            made = self.compiler.object_filenames([str(KERNELS)], output_dir=folder)
            if self.force or newer_group([str(KERNELS), *HEADERS, SETUP], made[0]):
                self.compiler.compile(
                    [str(KERNELS)],
                    output_dir=folder,
                    macros=[("FASTCONV_LEVEL", name)],
                    include_dirs=[str(NATIVE)],
                    extra_postargs=flags + self.spelled(level_flags),
                )
            objects += made
        return objects

    def require_compiler(self, flags):
        """Say what is missing where there is no compiler that can build the kernels."""
        if not self.try_build("int main() { return 0; }", flags, link=True):
            raise PlatformError(
                "fastconv is a C++ extension and found no working C++17 compiler. Install one "
                "(Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: "
                "xcode-select --install; Windows: clang-cl, and Visual Studio's build tools), or "
                "name it in CXX."
            )

    def defines(self, macro, flags):
        """Whether the compiler defines a macro by itself."""
        return self.try_build(f"static_assert({macro});", flags)

    def try_build(self, program, flags, link=False):
        """Whether a program compiles with these flags, and links."""
        folder = Path(tempfile.mkdtemp())
        try:
            source = folder / "probe.cpp"
            source.write_text(program)
            objects = self.compiler.compile(
                [str(source)], output_dir=str(folder), extra_postargs=flags
            )
            if link:
                self.compiler.link_executable(
                    objects, "probe", output_dir=str(folder), target_lang="c++"
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
    depends=[*HEADERS, SETUP],
    include_dirs=[str(NATIVE), numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    language="c++",
)

setup(
    ext_modules=cythonize([core], build_dir="build/cython"),
    cmdclass={"build_ext": BuildExt},
)
