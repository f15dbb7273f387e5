#!/usr/bin/env python3
"""Passes the second verifier through docs/vectors; test.sh prepares what it needs."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import verify as v

HERE = os.path.dirname(os.path.abspath(__file__))
MINUTE = 60_000_000_000
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


# Proofs of section 6, as the recursive definitions of RFC 9162: a live check needs them, an export does not.
def split(n):
    return 1 << (n - 1).bit_length() - 1


def inclusion(leaf, i, n, path):
    v.need(0 <= i < n and bool(path) == (n > 1), "inclusion proof of another length")
    if n == 1:
        return v.sha(b"\0", leaf)
    k = split(n)
    if i < k:
        return v.sha(b"\1", inclusion(leaf, i, k, path[:-1]), path[-1])
    return v.sha(b"\1", path[-1], inclusion(leaf, i - k, n - k, path[:-1]))


def consistency(m, n, path, old):
    """Roots of the old and the new tree as the proof has them; old is the known root while it is still whole."""
    v.need(0 < m <= n and len(path) >= (m < n or old is None), "consistency proof of another length")
    if m == n:
        v.need(len(path) == (old is None), "consistency proof of another length")
        return (old or path[0],) * 2
    k = split(n)
    if m <= k:
        a, b = consistency(m, k, path[:-1], old)
        return a, v.sha(b"\1", b, path[-1])
    a, b = consistency(m - k, n - k, path[:-1], None)
    return v.sha(b"\1", path[-1], a), v.sha(b"\1", path[-1], b)


def unhex(items):
    return [bytes.fromhex(x) for x in items]


class Vectors(unittest.TestCase):
    maxDiff = None

    def test_values_and_what_must_be_refused(self):
        file = load("values")
        for case in file["values"]:
            raw = bytes.fromhex(case["encoded"])
            with self.subTest(case["name"]):
                value, = v.decode(raw)
                self.assertEqual((v.encode(value), v.vhash(value).hex()), (raw, case["hash"]))
            count("values")
        for case in file["refused"]:
            with self.subTest(case["name"]):
                self.assertTrue(refuses(lambda: v.decode(bytes.fromhex(case["encoded"]))))
            count("values refused")

    def test_trees_and_proofs(self):
        file = load("trees")
        for case in file["certificate_transparency"]:
            self.assertEqual(v.merkle(unhex(case["inputs"])).hex(), case["root"])
            count("trees")
        leaves, roots = unhex(file["leaves"]), unhex(file["roots"])
        for size, root in enumerate(roots):
            self.assertEqual(v.merkle(leaves[:size]), root)
            count("trees")
        for case in file["inclusion"]:
            i, n, path = case["index"], case["size"], unhex(case["proof"])
            leaf = leaves[i]
            holds = not refuses(lambda: v.need(inclusion(leaf, i, n, path) == roots[n], "root"))
            self.assertEqual(holds, case["holds"], case)
            count("inclusion proofs")
        for case in file["consistency"]:
            m, n, path = case["old"], case["new"], unhex(case["proof"])
            holds = not refuses(lambda: v.need(consistency(m, n, path, roots[m]) == (roots[m], roots[n]), "roots"))
            self.assertEqual(holds, case["holds"], case)
            count("consistency proofs")

    def test_blocks_of_every_type(self):
        file = load("blocks")
        for case in file["blocks"]:
            block, = v.decode(bytes.fromhex(case["encoded"]))
            v.block(block)
            content = v.vhash({k: block[k] for k in ("btype", "claimed_ts", "body")})
            self.assertEqual((v.vhash(block).hex(), content.hex()), (case["hash"], case["content_hash"]))
            count("blocks")
        for case in file["refused"]:
            with self.subTest(case["why"]):
                self.assertTrue(refuses(lambda: v.block(v.decode(bytes.fromhex(case["encoded"]))[0])))
            count("blocks refused")

    def test_graphs_and_runs(self):
        file = load("runs")
        for case in file["graphs"]:
            with self.subTest(case["name"]):
                raw = bytes.fromhex(case["document"])
                self.assertEqual((not refuses(lambda: v.Run(raw)), v.sha(raw).hex()), (case["accepted"], case["digest"]))
            count("graphs")
        for case in file["runs"]:
            for graph, key in ((bytes.fromhex(case["graph"]), "refused_at"), (None, "refused_at_without_graph")):
                with self.subTest(case["name"], key=key):
                    self.assertEqual(self.refused_at(case["records"], graph), case[key])
                count("runs")

    def refused_at(self, records, graph):
        run = v.Run(graph)
        for position, record in enumerate(records):
            kind, (body,) = record["btype"][8:], v.decode(bytes.fromhex(record["body"]))
            other_graph = graph and kind == "run_opened" and body["graph"] != v.sha(graph)
            if refuses(lambda: run.step(kind, body)) or other_graph:
                return position
        return None

    def test_certificates(self):
        for case in load("certificates"):
            report = v.Report(True)
            key, canister = bytes.fromhex(case["root_key"])[37:], v.principal(case["canister"])
            v.check_certificate(report, bytes.fromhex(case["certificate"]), key, canister)
            with self.subTest(case["name"]):
                self.assertEqual({c: report.rows[c][0] for c in case["checks"]}, case["checks"])
            count("certificates of mainnet" if "source" in case else "certificates")

    def test_heads(self):
        for case in load("heads"):
            key, ledger = bytes.fromhex(case["root_key"])[37:], v.principal(case["ledger"])
            report = v.Report(True)
            top = v.check_certificate(report, bytes.fromhex(case["certificate"]), key, ledger)
            time = report.attempt("age", lambda: v.unleb(v.leaf(top, b"time")))
            if time is not None and case["now"] is not None:
                fresh = case["now"] - 3 * MINUTE <= time <= case["now"] + MINUTE
                report.attempt("age", lambda: v.need(fresh, "too old or ahead"))
            digest, policy, root, size, last = report.attempt(
                "labels", lambda: v.labels(bytes.fromhex(case["hash_tree"]))) or (None,) * 5
            report.attempt("labels", lambda: v.need(v.leaf(top, b"canister", ledger, b"certified_data") == digest, "root"))
            with self.subTest(case["name"]):
                failed = [c for c, (s, _) in report.rows.items() if s == "failed"]
                self.assertEqual(failed[:1], [case["fails"]] if case["fails"] else [])
                if not failed:
                    head = case["head"]
                    self.assertEqual((policy.hex(), root.hex(), size, last.hex(), time), (
                        head["policy"], head["root"], head["size"], head["last_block_hash"], head["time"]))
            count("heads")

    def test_checkpoints(self):
        for case in load("checkpoints"):
            old, new, proof = case["old"], case["new"], unhex(case["proof"])
            roots = bytes.fromhex(old["root"]), bytes.fromhex(new["root"])
            good = not refuses(lambda: v.need(consistency(old["size"], new["size"], proof, roots[0]) == roots, "forked"))
            stale = new["size"] < old["size"] and new["time"] < old["time"]
            with self.subTest(case["name"]):
                self.assertEqual("accepted" if good else "stale" if stale else "forked", case["outcome"])
            count("checkpoints")

    def test_trust_files(self):
        for case in load("trust"):
            with self.subTest(case["name"]):
                self.assertEqual(not refuses(lambda: v.load_trust(case["text"])), case["accepted"])
            count("trust files")

    def test_exports(self):
        for case in load("exports"):
            report = v.verify(bytes.fromhex(case["export"]), case["trust"] and v.load_trust(case["trust"]))
            with self.subTest(case["name"]):
                found = {check: status for check, (status, _) in report.rows.items()}
                self.assertEqual(found, case["checks"], report.rows)
                self.assertEqual(report.code(), case["exit_code"])
            count("exports")

    def test_the_command_answers_in_its_exit_code(self):
        cases = {case["exit_code"]: case for case in load("exports")}
        self.assertEqual(set(cases), {0, 1, 2})
        for code, case in cases.items():
            with tempfile.TemporaryDirectory() as folder:
                export, trust = os.path.join(folder, "export"), os.path.join(folder, "trust.json")
                with open(export, "wb") as file:
                    file.write(bytes.fromhex(case["export"]))
                with open(trust, "w", encoding="utf-8") as file:
                    file.write(case["trust"] or "")
                command = [sys.executable, os.path.join(HERE, "verify.py"), export, "-o", "json"]
                done = subprocess.run(command + (["--trust", trust] if case["trust"] else []), capture_output=True, text=True)
            self.assertEqual(done.returncode, code, done.stderr)
            out = json.loads(done.stdout)
            self.assertEqual({c["check"]: c["status"] for c in out["checks"]}, case["checks"])
            count("command lines")


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    failed = len(result.failures) + len(result.errors)
    print(f"vectors: {sum(counts.values()) - failed} passed, {failed} failed")
    sys.exit(0 if result.wasSuccessful() else 1)
