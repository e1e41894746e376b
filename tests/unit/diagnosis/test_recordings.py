"""Every kind of failure from what the real tool printed: its sentence, and the line that says it.

`recorded/<name>.txt` begins with the tools, their versions and the exit code; below is an excerpt of their output, with
`[...]` where lines were left out. Each was run in the base images of builds (Debian 12), its registries in trouble were
a server on 127.0.0.1 or a name that ends in `.invalid`. Names of public registries became `registry.example`.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

import pytest

from stackyn_server.diagnosis.diagnose import EVIDENCE_LINES, KINDS, Diagnosis, diagnose
from stackyn_server.diagnosis.failure_kind import FailedStep, FailureKind
from stackyn_server.diagnosis.transcript import transcript_of

HERE = Path(__file__).parent
ELSEWHERE = {"missing file in COPY"}  # of the builder, see tests/engine/builder/test_build_failures.py
WORDS_OF_SESSIONS = re.compile(r"401|unauthorized", re.IGNORECASE)  # a client signs out when it reads them


@dataclass(frozen=True)
class Case:
    name: str
    step: FailedStep
    kind: str
    sentence: str
    line: str

    @property
    def exit_code(self) -> int:
        header = re.search(r"\(exit code ([0-9]+)\)$", self._text.partition("\n")[0])
        assert header, f"{self.name}: the first line names tool and exit code"
        return int(header[1])

    @property
    def output(self) -> str:
        return self._text.partition("\n")[2]

    @property
    def _text(self) -> str:
        return (HERE / "recorded" / f"{self.name}.txt").read_text()


def _cases() -> list[Case]:
    with (HERE / "sentences.tsv").open() as table:
        rows = list(csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [Case(name, FailedStep[step.upper()], kind, says, line) for name, step, kind, says, line in rows]


CASES = _cases()


def diagnosis_of(case: Case, output: str) -> Diagnosis:
    diagnosis = diagnose(transcript_of(output).lines(), case.step, case.exit_code)
    assert diagnosis is not None, f"nothing fits:\n{output}"
    return diagnosis


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_output_of_a_tool_becomes_its_sentence(case: Case) -> None:
    diagnosis = diagnosis_of(case, case.output)

    assert (diagnosis.kind.name, diagnosis.message) == (case.kind, case.sentence)
    assert case.line in diagnosis.evidence, diagnosis.evidence
    assert len(diagnosis.evidence.splitlines()) <= EVIDENCE_LINES * 2  # with the marks of gaps
    assert diagnosis.hint
    assert "{" not in diagnosis.message + diagnosis.hint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_found_behind_a_long_log_and_before_it(case: Case) -> None:
    noise = "\n".join(f"[{number}/900] doing something ordinary" for number in range(300))

    diagnosis = diagnosis_of(case, f"{noise}\n{case.output}\n{noise}")

    assert (diagnosis.kind.name, diagnosis.message) == (case.kind, case.sentence)
    assert case.line in diagnosis.evidence
    assert "[200/900]" not in diagnosis.evidence


@pytest.mark.parametrize("name", ["npm-lock", "gcc-syntax", "eslint", "python-variable"])
def test_colours_change_nothing(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    coloured = "\n".join(f"\x1b[31m{line}\x1b[0m\r" for line in case.output.split("\n"))

    assert diagnosis_of(case, coloured).message == case.sentence


def test_every_kind_has_a_recording_and_a_name_of_its_own() -> None:
    names = [kind.name for kind in KINDS]

    assert len(set(names)) == len(names) >= 40
    assert set(names) == {case.kind for case in CASES} | ELSEWHERE
    assert {path.stem for path in (HERE / "recorded").iterdir()} == {case.name for case in CASES}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_pattern_gives_the_names_of_its_sentence(kind: FailureKind) -> None:
    needed = {name for _, name, _, _ in Formatter().parse(kind.message + kind.hint) if name}
    for pattern in kind.patterns:
        assert kind.unnamed or needed <= set(pattern.groupindex), pattern.pattern
    assert not WORDS_OF_SESSIONS.search(kind.message + kind.hint)
