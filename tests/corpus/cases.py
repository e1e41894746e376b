"""What a corpus holds: repositories, and how each one is known to have worked."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.git_server import Link, Program, Tree

_VERSION = re.compile(r"v?\d+(\.\d+)*")
_COMMENT = re.compile(r"(?m)^\s*//.*$")
_TRAILING_COMMA = re.compile(r",(\s*[\]}])")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Case:
    """`path` must answer `status` with `text`; where `output` is given, that must be in the logs instead, and where
    `failure` is given, the deployment must fail and say that. `settings` are the app's, as the API takes them."""

    name: str
    variables: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    path: str = "/"
    status: int | None = None
    text: str = ""
    output: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Cases with the tree of each. `folder` is a folder of repositories; `git_dir` a bare one with `examples/*`.

    `NAME.json` beside a repository's folder holds the fields of its case (`{"path": "/up", "text": "ready"}`).
    """

    folder: Path | None = None
    git_dir: Path | None = None

    def cases(self) -> Iterator[Case]:
        if self.folder is not None:
            yield from (_case_of(path) for path in sorted(self.folder.iterdir()) if path.is_dir())
        if self.git_dir is not None:
            names = sorted(
                path.split("/")[1]
                for path in self._git("ls-tree", "--name-only", "HEAD", "examples/").split()
            )
            yield from filter(None, map(self._railpack, names))

    def tree(self, case: Case) -> Tree:
        if self.folder is not None and (self.folder / case.name).is_dir():
            return _tree_of(self.folder / case.name)
        return self._example(case.name)

    def _railpack(self, name: str) -> Case | None:
        """Read the case of one of Railpack's examples from its `test.json`, which may hold comments."""
        try:
            text = self._git("show", f"HEAD:examples/{name}/test.json")
        except subprocess.CalledProcessError:
            return None
        tests: list[dict[str, Any]] = json.loads(_TRAILING_COMMA.sub(r"\1", _COMMENT.sub("", text)))
        chosen = next((test for test in tests if "httpCheck" in test), None)
        chosen = chosen or next((test for test in tests if "expectedOutput" in test), None)
        if chosen is None or chosen.get("shouldFail"):
            return None
        variables = {
            key: value for key, value in (chosen.get("envs") or {}).items() if _VARIABLE.fullmatch(key)
        }
        if check := chosen.get("httpCheck"):
            expected = check.get("expectedOutput") or ""
            path, status = check.get("path", "/"), check.get("expected", 200)
            return Case(name, variables, path=path, status=status, text=expected)
        output = chosen["expectedOutput"]
        return Case(name, variables, output=(output,) if isinstance(output, str) else tuple(output))

    def _example(self, name: str) -> Tree:
        prefix = f"HEAD:examples/{name}"
        tree: dict[str, bytes | str] = {}
        for line in self._git("ls-tree", "-r", "-z", prefix).split("\0")[:-1]:
            facts, _, path = line.partition("\t")
            mode, _, object_id = facts.split()
            if path == "test.json":
                continue
            try:
                content = self._git_bytes("cat-file", "blob", object_id)
            except subprocess.CalledProcessError:
                continue  # a copy that was made without its largest files
            tree[path] = (
                Link(content.decode())
                if mode == "120000"
                else Program(content)
                if mode == "100755"
                else content
            )
        return tree

    def _git(self, *arguments: str) -> str:
        return self._git_bytes(*arguments).decode("utf-8", "surrogateescape")

    def _git_bytes(self, *arguments: str) -> bytes:
        command = ["git", f"--git-dir={self.git_dir}", *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout


def _case_of(folder: Path) -> Case:
    described = folder.with_name(f"{folder.name}.json")
    if not described.is_file():
        return Case(folder.name)
    fields: dict[str, Any] = json.loads(described.read_text())
    return Case(folder.name, **{**fields, "output": tuple(fields.get("output", ()))})


def _tree_of(folder: Path) -> Tree:
    """Everything in a folder, also what nobody should commit."""
    tree: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] == ".git":
            continue
        if path.is_symlink():
            tree[str(relative)] = Link(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
            tree[str(relative)] = Program(content) if os.access(path, os.X_OK) else content
    return tree


def without_versions(text: str) -> str:
    return _VERSION.sub("#", text)
