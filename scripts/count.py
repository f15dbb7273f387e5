#!/usr/bin/env python3
"""Adds up the results of all suites: the last line is `N passed, N failed, N skipped`. A suite that ran no test has failed."""
import pathlib
import re
import sys


def count(text: str) -> list[int]:
    """What passed, failed and was skipped by the output of one suite."""
    counts = [0, 0, 0]
    for match in re.finditer(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.M):
        for index in range(3):
            counts[index] += int(match[index + 1])
    # the clients' script
    for index, word in enumerate(["ok   ", "FAIL "]):
        counts[index] += len(re.findall(f"^{word}", text, re.M))
    for good, bad in re.findall(r"^(\d+) laws hold, (\d+) do not", text, re.M):
        counts[0] += int(good)
        counts[1] += int(bad)
    vectors = re.findall(r"^vectors: (\d+) passed, (\d+) failed", text, re.M)
    for good, bad in vectors:
        counts[0] += int(good)
        counts[1] += int(bad)
    # where vectors are counted, the test functions that run them are not counted again
    for match in [] if vectors else re.finditer(r"^Ran (\d+) tests? in ", text, re.M):
        bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", text))
        counts[0] += int(match[1]) - bad
        counts[1] += bad
    return counts


def report(folder: pathlib.Path) -> tuple[list[str], bool]:
    """The lines, and whether every suite ran a test."""
    lines, total, ran = [], [0, 0, 0], True
    for log in sorted(folder.glob("*.log")):
        counts = count(log.read_text(errors="replace"))
        note = ""
        # one program of a suite may have none: only all of them together have to
        if counts[0] + counts[1] == 0:
            note = " (it ran no test, so it FAILED)"
            ran = False
        elif log.with_name(f"{log.stem}-alone.log").exists():
            # they count as they ended alone
            note = f" ({counts[1]} told again alone)"
            counts[1] = 0
        lines.append(f"{log.stem}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped{note}")
        total = [sum(pair) for pair in zip(total, counts)]
    if not lines:
        lines.append(f"no suite left its output in {folder}")
        ran = False
    lines.append(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return lines, ran


if __name__ == "__main__":
    shown, all_ran = report(pathlib.Path(sys.argv[1]))
    print("\n".join(shown))
    sys.exit(0 if all_ran else 1)
