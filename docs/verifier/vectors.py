"""Reads docs/vectors for the tests, and counts what was tried."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
counts = {}


def load(name):
    with open(os.path.join(HERE, "..", "vectors", name + ".json"), encoding="utf-8") as file:
        return json.load(file)


def count(what):
    counts[what] = counts.get(what, 0) + 1


def refuses(test):
    try:
        test()
    except Exception:
        return True
    return False


def unhex(items):
    return [bytes.fromhex(x) for x in items]
