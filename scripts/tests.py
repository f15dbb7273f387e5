#!/usr/bin/env python3
"""Runs `cargo test` on the workspace, and never passes without a test: a filter that names none has tested nothing.

scripts/tests.py [--without NAME]… ARGUMENTS OF CARGO… [-- ARGUMENTS OF THE TEST PROGRAMS…]

Every filter and every --skip has to match a test, and one has to be left. With --without it is all targets that have tests, new ones too, but for
this package, program or file of tests; a name that there is not is refused.
"""
import json
import os
import subprocess
import sys

CARGO = ["cargo", "test", "--release", "--locked", "--quiet", "--workspace"]
# Options of a test program whose next word is their value.
WITH_VALUE = {"--test-threads", "--format", "--color", "--logfile", "--shuffle-seed", "-Z"}


def taken_apart(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    """What is left out, what cargo is told, and what the test programs are told."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    without, cargo, words = [], [], iter(arguments[:at])
    for word in words:
        if word == "--without":
            without.append(next(words))
        else:
            cargo.append(word)
    return without, cargo, arguments[at + 1:]


def filters(arguments: list[str]) -> tuple[list[str], list[str], bool]:
    """Which tests are wanted, which are skipped, and whether those are whole names."""
    wanted, skipped, exact, words = [], [], False, iter(arguments)
    for word in words:
        if word == "--exact":
            exact = True
        elif word == "--skip":
            skipped.append(next(words))
        elif word.startswith("--skip="):
            skipped.append(word.removeprefix("--skip="))
        elif word in WITH_VALUE:
            next(words)
        elif not word.startswith("-"):
            wanted.append(word)
    return wanted, skipped, exact


def faults(names: list[str], wanted: list[str], skipped: list[str], exact: bool) -> list[str]:
    """Why so few tests would run; none when it is as it should be."""
    def matches(text: str, name: str) -> bool:
        return text == name if exact else text in name

    said = [f"no test is called {text!r}" if exact else f"no test has {text!r} in its name"
            for text in wanted + skipped if not any(matches(text, name) for name in names)]
    left = [name for name in names
            if (not wanted or any(matches(text, name) for text in wanted)) and not any(matches(text, name) for text in skipped)]
    return said or ([] if left else ["there is no test to run"])


def targets(packages: list[dict], without: list[str]) -> list[str]:
    """The targets that have tests, as cargo wants them named."""
    left, chosen, excluded = set(without), set(), []
    for package in packages:
        if package["name"] in without:
            left.discard(package["name"])
            excluded += ["--exclude", package["name"]]
            continue
        for target in package["targets"]:
            kind = target["kind"][0]
            if target["name"] in without and kind in ("bin", "test"):
                left.discard(target["name"])
            elif target["test"] and kind in ("bin", "test"):
                chosen.add((f"--{kind}", target["name"]))
            elif target["test"] and kind != "example":
                chosen.add(("--lib",))
    if left:
        raise SystemExit(f"scripts/tests.py: there is no package, program or file of tests {', '.join(sorted(left))}")
    return excluded + [word for words in sorted(chosen) for word in words]


def main() -> None:
    without, cargo, program = taken_apart(sys.argv[1:])
    if without:
        asked = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
        cargo = targets(json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout)["packages"], without) + cargo
    listed = subprocess.run(CARGO + cargo + ["--", "--list", "--format", "terse"], stdout=subprocess.PIPE, text=True)
    if listed.returncode != 0:
        sys.exit(listed.returncode)
    names = [line.removesuffix(": test") for line in listed.stdout.splitlines() if line.endswith(": test")]
    said = faults(names, *filters(program))
    if said:
        sys.exit("\n".join(f"scripts/tests.py: {one}" for one in said))
    words = CARGO + cargo + ["--"] + program
    sys.stdout.flush()
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
