#!/usr/bin/env python3
"""Policy of the dependencies: every crate in the lockfile is under a licence of the list, none is banned, and none is older than the first
version without a known vulnerability.

Offline: reads `cargo metadata` alone; what is known of advisories is written down here, as of LOOKED_AT. Fails with one line per crate.
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
    "rsa": "RUSTSEC-2023-0071, no fixed version", "fxhash": "RUSTSEC-2025-0057", "atty": "RUSTSEC-2024-0375",
}
# When the lockfile was last compared with the RustSec database. Left then, both unmaintained only: paste (RUSTSEC-2024-0436, under candid) and
# serde_cbor (RUSTSEC-2021-0127, under the agent library).
LOOKED_AT = "2026-08-21, newer advisories by hand until 2026-11-25"
# The first version without a known vulnerability, of what reads foreign bytes here.
FLOORS = {
    "rustls": ("0.23.46", "RUSTSEC-2026-0346 to 0349"), "rustls-webpki": ("0.103.13", "RUSTSEC-2026-0104"), "h2": ("0.4.16", "RUSTSEC-2026-0258"),
    "tar": ("0.4.45", "RUSTSEC-2026-0067, 0068"), "bytes": ("1.11.1", "RUSTSEC-2026-0007"), "time": ("0.3.47", "RUSTSEC-2026-0009"),
    "wasmtime": ("48.0.8", "RUSTSEC-2026-0353 to 0364"), "crossbeam-epoch": ("0.9.20", "RUSTSEC-2026-0204"),
}


def older(version: str, floor: str) -> bool:
    """Whether a version, without what follows its three numbers, is below another."""
    numbers = [tuple(int(n) for n in re.match(r"(\d+)\.(\d+)\.(\d+)", text).groups()) for text in (version, floor)]
    return numbers[0] < numbers[1]


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
        floor = FLOORS.get(package["name"])
        if floor and older(package["version"], floor[0]):
            problems.append(f"{name}: {floor[1]} is fixed in {floor[0]}")
        licence = package.get("license")
        if not licence and not package.get("license_file"):
            problems.append(f"{name}: no licence")
        elif licence and not satisfied(licence):
            problems.append(f"{name}: licence {licence} is not on the list")
    print("\n".join(problems) or f'{len(metadata["packages"])} crates, all licences allowed, no known vulnerability ({LOOKED_AT})')
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
