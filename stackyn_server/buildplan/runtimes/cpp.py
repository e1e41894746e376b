"""C and C++: CMake, Meson or make; the program that the build makes is run."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.instructions import COPY_ALL, run
from stackyn_server.buildplan.generated.stages import is_plain, plan_of, two_stages
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime
from stackyn_server.buildplan.settings.start_command import configured_command

CMAKE, MESON = "CMakeLists.txt", "meson.build"
MAKEFILES = ("Makefile", "makefile", "GNUmakefile")
_SOURCES = (".c", ".cc", ".cpp", ".cxx", ".c++")
_COMMANDS = {
    CMAKE: "cmake -S . -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build --parallel",
    MESON: "meson setup build --buildtype=release && meson compile -C build",
}
_PROJECT = re.compile(r"^[ \t]*project[ \t]*\(\s*['\"]?([\w.+-]+)", re.MULTILINE | re.IGNORECASE)
_PROGRAM = {
    CMAKE: re.compile(r"^[ \t]*add_executable[ \t]*\(\s*([\w.+${}-]+)", re.MULTILINE | re.IGNORECASE),
    MESON: re.compile(r"\bexecutable[ \t]*\(\s*['\"]([\w.+-]+)['\"]"),
}
_PREFERRED = ("server", "app", "main", "web")


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    return (CMAKE, MESON, *MAKEFILES)


def build_file(project: Project) -> str | None:
    """Return the file that says how to build; a makefile only beside sources, because other languages use it too."""
    has_sources = any(path.endswith(_SOURCES) and path.count("/") <= 2 for path in project.files)
    return project.first((CMAKE, MESON, *(MAKEFILES if has_sources else ())))


def _plan(project: Project) -> BuildPlan | None:
    script = build_file(project)
    if script is None:
        return None
    choice = project.options.toolchains.choose("cpp")
    tool = {CMAKE: "CMake", MESON: "Meson"}.get(script, "make")
    reasons = [f"`{script}` makes it a C or C++ project that {tool} builds.", choice.reason]
    steps = [
        COPY_ALL,
        *([run(project.options.install_command)] if project.options.install_command else []),
        "RUN touch /tmp/before",
        run(project.options.build_command or _COMMANDS.get(script, 'make -j"$(nproc)"')),
    ]
    if configured := configured_command(project):
        command = configured[0]
        reasons.append(configured[1])
    else:
        command = "bin/start-app"
        steps.append(f"RUN {_find_program(_names(project, script))}")
        reasons.append("The program that the build makes is run.")
    return plan_of(
        project,
        RUNTIME.name,
        reasons,
        two_stages(project, choice, steps, command),
        ignore=("build", "builddir"),
    )


def _names(project: Project, script: str) -> list[str]:
    """Return the names that the program may have, the likely ones first."""
    text = project.text(script) or ""
    declaration = _PROJECT.search(text)
    title = [declaration[1]] if declaration else []
    programs = [
        re.sub(r"\$\{(?:PROJECT_NAME|CMAKE_PROJECT_NAME)\}", title[0] if title else "app", name)
        for name in (_PROGRAM[script].findall(text) if script in _PROGRAM else ())
    ]
    preferred = [name for name in (*_PREFERRED, *title) if name in programs]
    return list(
        dict.fromkeys(name for name in (*preferred, *programs, *title, *_PREFERRED) if is_plain(name))
    )[:20]


def _find_program(names: list[str]) -> str:
    """Return the command that links bin/start-app to the built program: by name, else the only one."""
    return " && ".join(
        (
            "mkdir -p bin",
            "find . -type f -perm -u+x -newer /tmp/before ! -path '*/CMakeFiles/*' ! -path './bin/*' ! -name '*.so*' "
            "-exec sh -c 'head -c 4 \"$1\" | grep -q ELF' sh {} \\; -print >/tmp/programs",
            "program=$(for name in "
            + " ".join(names or ["app"])
            + '; do grep "/$name\\$" /tmp/programs; done | head -n 1)',
            'if [ -z "$program" ] && [ "$(wc -l </tmp/programs)" = 1 ]; then program=$(cat /tmp/programs); fi',
            "{ [ -n \"$program\" ] || { echo 'Which program serves? Set the start command to one of:' >&2; "
            "cat /tmp/programs >&2; exit 1; }; }",
            'ln -s "../$program" bin/start-app',
        )
    )


RUNTIME = Runtime(name="cpp", looked_for=f"C and C++ ({CMAKE}, {MESON}, Makefile)", needs=_needs, plan=_plan)
