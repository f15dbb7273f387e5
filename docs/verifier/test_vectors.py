#!/usr/bin/env python3
"""Passes the second verifier through docs/vectors; test.sh prepares what it needs."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import cbor2

import formats as f
import verify as v
from test_strictness import Strictness  # noqa: F401, its tests run with these
from vectors import HERE, count, counts, load, refuses, unhex

PLACE = {"project": "shop", "domain": "east"}


class Vectors(unittest.TestCase):
    maxDiff = None

    def test_values_and_what_must_be_refused(self):
        file = load("values")
        for case in file["values"]:
            raw = bytes.fromhex(case["encoded"])
            with self.subTest(case["name"]):
                value = f.decode(raw)
                self.assertEqual((cbor2.dumps(value, canonical=True), f.vhash(value).hex()), (raw, case["hash"]))
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
            leaf = f.sha(b"\0", leaves[i])
            holds = not refuses(lambda: f.need(v.lead(i, i + 1, n, path, leaf)[1] == roots[n], "root"))
            self.assertEqual(holds, case["holds"], case)
            count("inclusion proofs")
        for case in file["consistency"]:
            m, n, path = case["old"], case["new"], unhex(case["proof"])
            holds = v.advance((m, roots[m], 0), (n, roots[n], 0), path) == "accepted"
            self.assertEqual(holds, case["holds"], case)
            count("consistency proofs")

    def test_blocks_of_every_type(self):
        for file in load("blocks"), load("environments"):
            for case in file["blocks"]:
                block = f.decode(bytes.fromhex(case["encoded"]))
                f.block(block)
                content = f.vhash({k: block[k] for k in ("btype", "claimed_ts", "body")})
                self.assertEqual((f.vhash(block).hex(), content.hex()), (case["hash"], case["content_hash"]))
                count("blocks")
            for case in file["refused"]:
                with self.subTest(case["why"]):
                    self.assertTrue(refuses(lambda: f.block(f.decode(bytes.fromhex(case["encoded"])))))
                count("blocks refused")

    def test_graphs_and_runs(self):
        file = load("runs")
        for case in file["graphs"]:
            with self.subTest(case["name"]):
                raw = bytes.fromhex(case["document"])
                self.assertEqual(not refuses(lambda: f.graph_document(raw)), case["accepted"])
                self.assertEqual(f.sha(raw).hex(), case["digest"])
            count("graphs")
        for case in file["runs"]:
            for graph, key in ((bytes.fromhex(case["graph"]), "refused_at"), (None, "refused_at_without_graph")):
                with self.subTest(case["name"], key=key):
                    self.assertEqual(self.refused_at(case["records"], graph), case[key])
                count("runs")

    def test_chains_of_environments(self):
        for case in load("environments")["chains"]:
            with self.subTest(case["name"]):
                self.assertEqual(self.refused_at(case["records"]), case["refused_at"])
            count("chains of environments")

    def refused_at(self, records, graph=None):
        blocks = [(i, {"btype": x["btype"], "body": f.decode(bytes.fromhex(x["body"])), **PLACE}, None)
                  for i, x in enumerate(records)]
        if not refuses(lambda: v.check_records(blocks, graph)):
            return None
        return next(i for i in range(len(blocks)) if refuses(lambda: v.check_records(blocks[:i + 1], graph)))

    def test_certificates(self):
        for case in load("certificates"):
            found = v.Findings()
            canister, trust = f.principal(case["canister"]), {"root_key": case["root_key"]}
            v.check_certificate(found, bytes.fromhex(case["certificate"]), trust, canister, None)
            with self.subTest(case["name"]):
                self.assertEqual({c: found[c][0] for c in case["checks"]}, case["checks"])
            count("certificates of mainnet" if "source" in case else "certificates")

    def test_heads(self):
        for case in load("heads"):
            evidence = {"format": "dcanary-run/1", "ledger": "", "policy": "00", "blocks": []}
            evidence |= {name: case[name] for name in ("certificate", "hash_tree")}
            trust = {"root_key": case["root_key"], "ledger": case["ledger"], "module_hashes": []}
            asked = {"project": "shop", "domain": None, "run": "none"}
            found = v.verify(json.dumps(evidence), trust, asked, case["now"])
            with self.subTest(case["name"]):
                about_head = ("certificate", "delegation", "range", "age", "labels")
                failed = [c for c in about_head if found[c][0] == "failed"]
                self.assertEqual(failed[:1], [case["fails"]] if case["fails"] else [])
                if not failed:
                    head = case["head"]
                    self.assertEqual((found.policy.hex(), found.root.hex(), found.size, found.last.hex()), (
                        head["policy"], head["root"], head["size"], head["last_block_hash"]))
                    self.assertEqual(f.unleb(found.paths[b"time",]), head["time"])
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
        for case in load("exports") + load("environment_exports"):
            trust = f.trust_file(case["trust"]) if case["trust"] else {}
            self.compare(case, v.verify(bytes.fromhex(case["export"]), trust))
            count("exports")

    def test_runs_and_environments_by_their_evidence(self):
        for case in load("proofs") + load("environment_proofs"):
            trust = f.trust_file(case["trust"]) if case["trust"] else {}
            found = v.verify(json.dumps(case["evidence"]), trust, case["expected"], case["now"], alone=False)
            self.compare(case, found)
            count("runs and environments by evidence")

    def compare(self, case, found):
        with self.subTest(case["name"]):
            self.assertEqual({check: status for check, (status, _) in found.items()}, case["checks"], found)
            self.assertEqual(v.exit_code(found), case["exit_code"])

    def command(self, content, trust, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            file, pinned = os.path.join(folder, "file"), os.path.join(folder, "trust.json")
            with open(file, "wb") as out:
                out.write(content)
            with open(pinned, "w", encoding="utf-8") as out:
                out.write(trust or "")
            command = [sys.executable, os.path.join(HERE, "verify.py"), file, *arguments]
            done = subprocess.run(command + (["--trust", pinned] if trust else []), capture_output=True, text=True)
        count("command lines")
        self.assertTrue(done.stdout, done.stderr)
        return done.returncode, dict(line.split()[:2] for line in done.stdout.splitlines())

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
