#!/usr/bin/env python3
"""Passes the second verifier through docs/vectors; test.sh prepares what it needs."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import formats as f
import runs
import verify as v

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


class Vectors(unittest.TestCase):
    maxDiff = None

    def test_values_and_what_must_be_refused(self):
        file = load("values")
        for case in file["values"]:
            raw = bytes.fromhex(case["encoded"])
            with self.subTest(case["name"]):
                value, = f.decode(raw)
                self.assertEqual((f.encode(value), f.vhash(value).hex()), (raw, case["hash"]))
            count("values")
        for case in file["refused"]:
            with self.subTest(case["name"]):
                self.assertTrue(refuses(lambda: f.decode(bytes.fromhex(case["encoded"]))))
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
            holds = not refuses(lambda: f.need(v.included(leaf, i, n, path) == roots[n], "root"))
            self.assertEqual(holds, case["holds"], case)
            count("inclusion proofs")
        for case in file["consistency"]:
            m, n, path = case["old"], case["new"], unhex(case["proof"])
            holds = v.advance((m, roots[m], 0), (n, roots[n], 0), path) == "accepted"
            self.assertEqual(holds, case["holds"], case)
            count("consistency proofs")

    def test_blocks_of_every_type(self):
        file = load("blocks")
        for case in file["blocks"]:
            block, = f.decode(bytes.fromhex(case["encoded"]))
            f.block(block)
            content = f.vhash({k: block[k] for k in ("btype", "claimed_ts", "body")})
            self.assertEqual((f.vhash(block).hex(), content.hex()), (case["hash"], case["content_hash"]))
            count("blocks")
        for case in file["refused"]:
            with self.subTest(case["why"]):
                self.assertTrue(refuses(lambda: f.block(f.decode(bytes.fromhex(case["encoded"]))[0])))
            count("blocks refused")

    def test_graphs_and_runs(self):
        file = load("runs")
        for case in file["graphs"]:
            with self.subTest(case["name"]):
                raw = bytes.fromhex(case["document"])
                self.assertEqual(not refuses(lambda: runs.Run(raw)), case["accepted"])
                self.assertEqual(f.sha(raw).hex(), case["digest"])
            count("graphs")
        for case in file["runs"]:
            for graph, key in ((bytes.fromhex(case["graph"]), "refused_at"), (None, "refused_at_without_graph")):
                with self.subTest(case["name"], key=key):
                    self.assertEqual(self.refused_at(case["records"], graph), case[key])
                count("runs")

    def refused_at(self, records, graph):
        run = runs.Run(graph)
        for position, record in enumerate(records):
            kind, (body,) = record["btype"][8:], f.decode(bytes.fromhex(record["body"]))
            other_graph = graph and kind == "run_opened" and body["graph"] != f.sha(graph)
            if refuses(lambda: run.step(kind, body)) or other_graph:
                return position
        return None

    def test_certificates(self):
        for case in load("certificates"):
            report = v.Report(None)
            key, canister = bytes.fromhex(case["root_key"])[37:], f.principal(case["canister"])
            v.check_certificate(report, bytes.fromhex(case["certificate"]), key, canister)
            with self.subTest(case["name"]):
                self.assertEqual({c: report.rows[c][0] for c in case["checks"]}, case["checks"])
            count("certificates of mainnet" if "source" in case else "certificates")

    def test_heads(self):
        for case in load("heads"):
            key, ledger = bytes.fromhex(case["root_key"])[37:], f.principal(case["ledger"])
            report = v.Report(None)
            certificate, witness = bytes.fromhex(case["certificate"]), bytes.fromhex(case["hash_tree"])
            facts = v.check_head(report, certificate, witness, key, ledger, case["now"])
            with self.subTest(case["name"]):
                failed = [c for c, (s, _) in report.rows.items() if s == "failed"]
                self.assertEqual(failed[:1], [case["fails"]] if case["fails"] else [])
                if not failed:
                    head, (policy, root, size, last) = case["head"], facts
                    self.assertEqual((policy.hex(), root.hex(), size, last.hex()), (
                        head["policy"], head["root"], head["size"], head["last_block_hash"]))
                    self.assertEqual(v.check_age(f.parse_certificate(certificate)[0], None), head["time"])
            count("heads")

    def test_checkpoints(self):
        for case in load("checkpoints"):
            old, new = [(h["size"], bytes.fromhex(h["root"]), h["time"]) for h in (case["old"], case["new"])]
            with self.subTest(case["name"]):
                self.assertEqual(v.advance(old, new, unhex(case["proof"])), case["outcome"])
            count("checkpoints")

    def test_trust_files(self):
        for case in load("trust"):
            with self.subTest(case["name"]):
                self.assertEqual(not refuses(lambda: f.trust_file(case["text"])), case["accepted"])
            count("trust files")

    def test_exports(self):
        for case in load("exports"):
            report = v.verify(bytes.fromhex(case["export"]), case["trust"] and f.trust_file(case["trust"]))
            with self.subTest(case["name"]):
                found = {check: status for check, (status, _) in report.rows.items()}
                self.assertEqual(found, case["checks"], report.rows)
                self.assertEqual(report.code(), case["exit_code"])
            count("exports")

    def test_runs_by_their_evidence(self):
        for case in load("proofs"):
            trust = case["trust"] and f.trust_file(case["trust"])
            report = v.verify_run(case["evidence"], case["expected"], trust, case["now"])
            with self.subTest(case["name"]):
                found = {check: status for check, (status, _) in report.rows.items()}
                self.assertEqual(found, case["checks"], report.rows)
                self.assertEqual(report.code(), case["exit_code"])
            count("runs by evidence")

    def command(self, content, trust, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            file, pinned = os.path.join(folder, "file"), os.path.join(folder, "trust.json")
            with open(file, "wb") as out:
                out.write(content)
            with open(pinned, "w", encoding="utf-8") as out:
                out.write(trust or "")
            command = [sys.executable, os.path.join(HERE, "verify.py"), file, "-o", "json", *arguments]
            done = subprocess.run(command + (["--trust", pinned] if trust else []), capture_output=True, text=True)
        count("command lines")
        self.assertTrue(done.stdout, done.stderr)
        return done.returncode, {c["check"]: c["status"] for c in json.loads(done.stdout)["checks"]}

    def test_the_command_answers_in_its_exit_code(self):
        cases = {case["exit_code"]: case for case in load("exports")}
        self.assertEqual(set(cases), {0, 1, 2})
        for code, case in cases.items():
            found = self.command(bytes.fromhex(case["export"]), case["trust"])
            self.assertEqual(found, (code, case["checks"]))

    def test_the_command_knows_the_run_that_it_was_asked_for(self):
        good = next(case for case in load("proofs") if case["name"] == "good: offline")
        content, run = json.dumps(good["evidence"]).encode(), good["expected"]["run"]
        for asked, code in ((run, 0), (run[::-1], 1)):
            found, checks = self.command(content, good["trust"], "--run", asked, "--project", "shop")
            self.assertEqual((found, checks["blocks"]), (code, "failed" if code else "passed"))


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=1).result
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    failed = len(result.failures) + len(result.errors)
    print(f"vectors: {sum(counts.values()) - failed} passed, {failed} failed")
    sys.exit(0 if result.wasSuccessful() else 1)
