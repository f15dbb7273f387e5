#!/usr/bin/env python3
"""Adds up the results of all suites: the last line is `N passed, N failed, N skipped`."""
import pathlib
import re
import sys

passed = failed = skipped = 0
for log in sorted(pathlib.Path(sys.argv[1]).glob("*.log")):
    text = log.read_text(errors="replace")
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
    alone = ""
    if log.with_name(f"{log.stem}-alone.log").exists():
        # they count as they ended alone
        alone = f" ({counts[1]} told again alone)"
        counts[1] = 0
    print(f"{log.stem}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped{alone}")
    passed, failed, skipped = passed + counts[0], failed + counts[1], skipped + counts[2]
print(f"{passed} passed, {failed} failed, {skipped} skipped")
