"""The ordered table of runtimes: the first that fits a commit plans its build. A runtime is one row here.

Its base image is a row of `images/tools.py` with a recipe in `images/recipes/`; a language that is only refused, or
named in a refusal, is a row of `languages.py`. CONTRIBUTING.md goes through the steps.
"""

from __future__ import annotations

from stackyn_server.buildplan.project import Runtime
from stackyn_server.buildplan.runtimes import compose, cpp, deno, dotnet, elixir, php, ruby, shell
from stackyn_server.buildplan.runtimes.dockerfile import runtime as dockerfile
from stackyn_server.buildplan.runtimes.go import runtime as go
from stackyn_server.buildplan.runtimes.java import runtime as java
from stackyn_server.buildplan.runtimes.node import runtime as node
from stackyn_server.buildplan.runtimes.python import runtime as python
from stackyn_server.buildplan.runtimes.rust import runtime as rust
from stackyn_server.buildplan.runtimes.static import generators
from stackyn_server.buildplan.runtimes.static import runtime as static

# Explicit build instructions come first; languages that are often only tools of another come later.
RUNTIMES: tuple[Runtime, ...] = (
    dockerfile.RUNTIME,
    compose.RUNTIME,
    *generators.RUNTIMES,
    deno.RUNTIME,
    go.RUNTIME,
    rust.RUNTIME,
    java.RUNTIME,
    php.RUNTIME,
    ruby.RUNTIME,
    dotnet.RUNTIME,
    elixir.RUNTIME,
    python.RUNTIME,
    node.RUNTIME,
    cpp.RUNTIME,
    shell.RUNTIME,
    static.RUNTIME,
)
# Other names of runtimes.
OTHER_NAMES = {
    "bun": "node", "nodejs": "node", "javascript": "node", "typescript": "node", "golang": "go", "kotlin": "java",
    "c": "cpp", "c++": "cpp", "csharp": "dotnet", "c#": "dotnet", ".net": "dotnet", "docker": "dockerfile",
    "html": "static", "staticfile": "static", "bash": "shell", "sh": "shell",
}  # fmt: skip
