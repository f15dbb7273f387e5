#!/usr/bin/env python3
"""Licence policy of the dependencies: every crate in the lockfile is under a licence of the list, and none is banned.

Offline: reads `cargo metadata` alone. Fails with one line per crate.
"""
import json
import re
import subprocess
import sys

ALLOWED = {
    "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0", "CC0-1.0", "0BSD", "MIT-0",
    "Apache-2.0 WITH LLVM-exception", "CDLA-Permissive-2.0", "MPL-2.0", "BSL-1.0", "Unlicense", "OpenSSL", "Unicode-DFS-2016",
}
# Unmaintained or unsound, with the advisory that says so.
BANNED = {
    "serde_yaml": "deprecated", "serde_yml": "RUSTSEC-2025-0068", "backoff": "RUSTSEC-2025-0012", "instant": "RUSTSEC-2024-0384",
    "rustls-pemfile": "RUSTSEC-2025-0134", "oci-distribution": "renamed to oci-client", "cel-interpreter": "superseded by cel",
}


def satisfied(expression: str) -> bool:
    """SPDX expression with AND, OR, WITH and parentheses: can it be met with allowed licences alone?"""
    words = re.findall(r"\(|\)|[^\s()/]+|/", expression)
    merged: list[str] = []
    for word in words:
        if merged and merged[-1].endswith(" WITH"):
            merged[-1] += f" {word}"
        elif word == "WITH":
            merged[-1] += " WITH"
        else:
            merged.append("OR" if word == "/" else word)
    python = " ".join(
        word if word in "()" else word.lower() if word in ("AND", "OR") else str(word in ALLOWED) for word in merged
    )
    return bool(eval(python, {"__builtins__": {}}))  # only True, False, and, or, parentheses


def main() -> int:
    metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version=1", "--locked"]))
    problems = []
    for package in metadata["packages"]:
        name = f'{package["name"]} {package["version"]}'
        if package["name"] in BANNED:
            problems.append(f'{name}: banned ({BANNED[package["name"]]})')
        licence = package.get("license")
        if not licence and not package.get("license_file"):
            problems.append(f"{name}: no licence")
        elif licence and not satisfied(licence):
            problems.append(f"{name}: licence {licence} is not on the list")
    print("\n".join(problems) or f'{len(metadata["packages"])} crates, all licences allowed')
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
