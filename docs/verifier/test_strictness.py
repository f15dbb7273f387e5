"""Every map of the format with a field missing, too many, of another kind or of another length: all must be refused."""
import base64
import copy
import json
import unittest
import zlib

import cbor2

import formats as f
import verify as v
from vectors import count, load, refuses

# Where a field of that name may be absent.
OPTIONAL = {
    "": {"phash"}, "dcanary_run_opened": {"source"}, "source": {"ref"}, "dcanary_stage_succeeded": {"artifacts"},
    "dcanary_env_opened": {"from"}, "dcanary_env_changed": {"from"}, "dcanary_decided": {"promotion", "identity"},
    "dcanary_promoted": {"evidence"}, "dcanary_rolled_back": {"to", "evidence"}, "dcanary_held": {"decision"},
    "trust": {"project", "controllers", "domains", "quorum", "witnesses"}, "trailer": {"code"},
    "evidence": {"root_key", "graph", "code"}, "state": {"delegation"}}
# Blobs of which only some lengths are allowed.
LENGTHS = {"phash": 32, "caller": 29, "principal": 29, "owner": 29, "signature": 48, "ledger": 29} | dict.fromkeys(
    "definition graph params outputs digest hash offered rules release identity evidence to".split(), 32)


def encode(value):
    return cbor2.dumps(value, canonical=True)


def worse(value, name):
    """The map with one thing wrong, and what."""
    for field, inner in value.items():
        if field not in OPTIONAL.get(name, ()):
            yield f"{name} without {field}", {k: x for k, x in value.items() if k != field}
        yield f"{name} with {field} of another kind", value | {field: [[]]}
        if isinstance(inner, bytes) and field in LENGTHS:
            yield f"{name} with {field} too long", value | {field: b"\1" * (LENGTHS[field] + 1)}
            if LENGTHS[field] != 29:
                yield f"{name} with {field} too short", value | {field: inner[:-1]}
        if isinstance(inner, dict):
            for why, changed in worse(inner, value["btype"] if field == "body" else field):
                yield why, value | {field: changed}
        if isinstance(inner, list):
            for i, element in enumerate(inner):
                for why, changed in worse(element, field) if isinstance(element, dict) else ():
                    yield f"{why} of {i}", value | {field: [*inner[:i], changed, *inner[i + 1:]]}
    yield f"{name} with one field more", value | {"zzz": 1}
    yield f"{name} with the mark of an absent field", value | {next(iter(value)) + "?": 1}


class Strictness(unittest.TestCase):
    def refuse_all(self, value, name, reader):
        self.assertFalse(refuses(lambda: reader(value)), name)
        for why, changed in worse(value, name):
            with self.subTest(why):
                self.assertTrue(refuses(lambda: reader(changed)))
            count("maps with one thing wrong")

    def test_blocks(self):
        for block in self.blocks():
            self.refuse_all(block, "", f.block)

    def blocks(self):
        """One of every type; a role of each kind."""
        every = load("blocks")["blocks"] + load("environments")["blocks"]
        every = [cbor2.loads(bytes.fromhex(case["encoded"])) for case in every]
        return {(block["btype"], block["body"].get("role")): block for block in every}.values()

    def test_texts_of_blocks(self):
        wrong = {"run": ["", "a b", "a" * 65, "ä"], "stage": ["", "a\n", "\x85", "a" * 254, "ä" * 127],
                 "reason": ["", "a" * 65, "ä" * 33], "role": ["", "reader", "owner "],
                 "project": ["A", "-a", "a-", "a" * 64, "a\n"], "domain": ["A", "-a", "a-", "a" * 64, "a\n"]}
        for block in self.blocks():
            for field in wrong:
                for text in wrong[field]:
                    parts = [{field: text}] if field in block else []
                    parts += [{"body": block["body"] | {field: text}}] if field in block["body"] else []
                    for part in parts:
                        with self.subTest((block["btype"], part)):
                            self.assertTrue(refuses(lambda: f.block(block | part)))
                        count("texts refused")

    def test_roles_of_blocks(self):
        granted = next(block for block in (cbor2.loads(bytes.fromhex(x["encoded"])) for x in load("blocks")["blocks"])
                       if block["btype"] == "dcanary_role_granted" and block["body"]["role"] == "operator")
        for changed in ({"project": ""}, {"domain": "east"}, {"body": granted["body"] | {"domain": ""}},
                        {"body": granted["body"] | {"role": "owner"}}, {"body": granted["body"] | {"role": "reader"}}):
            with self.subTest(changed):
                self.assertTrue(refuses(lambda: f.block(granted | changed)))
            count("roles that do not fit")

    def test_exports(self):
        good = bytes.fromhex(next(x for x in load("exports") if x["name"] == "good: one project")["export"])
        header, *blocks, trailer = f.decode(good, many=True)

        def read(first=header, last=trailer):
            return f.read(b"".join(map(encode, [first, *blocks, last])), None)
        self.refuse_all(header, "header", lambda x: read(first=x))
        self.refuse_all(trailer, "trailer", lambda x: read(last=x))
        self.assertTrue(refuses(lambda: read(first=header | {"size": 0})))
        blocks[0] = [blocks[0]]
        self.assertTrue(refuses(read))

    def test_evidence(self):
        for name in "proofs", "environment_proofs":
            good = next(x for x in load(name) if x["name"].startswith("good"))["evidence"]
            self.refuse_all(good, "evidence", lambda x: f.read(json.dumps(x), True))
            listed = [(field, text.upper()) for field, text in good.items() if isinstance(text, str)]
            listed += [(field, text + " ") for field, text in good.items() if isinstance(text, str)]
            listed += [] if name == "proofs" else [("graph", "00")]
            for field, wrong in [*listed, ("ledger", "0"), ("policy", "zz"), ("format", "dcanary-run/2")]:
                with self.subTest(field):
                    self.assertTrue(refuses(lambda: f.read(json.dumps(good | {field: wrong}), True)))
                count("evidence with one thing wrong")
            wrongs = ("index", -1), ("index", "1"), ("index", 1.0), ("proof", ["AA" * 32]), ("proof", ["0"])
            for field, wrong in wrongs:
                blocks = [good["blocks"][0] | {field: wrong}]
                with self.subTest(field):
                    self.assertTrue(refuses(lambda: f.read(json.dumps(good | {"blocks": blocks}), True)))
                count("evidence with one thing wrong")

    def test_trust_files(self):
        good = next(json.loads(x["text"]) for x in load("trust") if "domains" in x["text"] and x["accepted"])
        good |= dict.fromkeys(("quorum", "witnesses"), {"threshold": 0, "keys": []})
        self.refuse_all(good, "trust", lambda x: f.trust_file(json.dumps(x)))
        nobody = {"threshold": 0, "keys": []}
        for changed in ({"domains": [good["domains"][0] | {"owner": ""}]}, {"quorum": nobody | {"keys": {}}},
                        {"quorum": nobody | {"threshold": False}}, {"witnesses": nobody | {"threshold": 0.0}}):
            with self.subTest(changed):
                self.assertTrue(refuses(lambda: f.trust_file(json.dumps(good | changed))))
            count("trust files")

    def test_policy_documents(self):
        owner = {"domain": "", "principal": b"\1", "project": "", "role": "owner"}
        writer = {"domain": "east", "principal": b"\1", "project": "shop", "role": "operator"}

        def read(value):
            return f.policy_document(encode(value))
        self.refuse_all({"version": 2, "roles": [owner, writer]}, "policy document", read)
        for roles in ([writer, owner], [owner, owner], [writer, writer | {"domain": "west"}],
                      [owner | {"project": "shop"}], [owner | {"domain": "east"}], [owner | {"principal": bytes(30)}],
                      [writer | {"domain": ""}], [writer | {"project": ""}]):
            with self.subTest(roles):
                self.assertTrue(refuses(lambda: read({"version": 2, "roles": roles})))
            count("policy documents refused")

    def test_graph_documents(self):
        good = cbor2.loads(bytes.fromhex(next(x for x in load("runs")["graphs"] if x["accepted"])["document"]))
        self.refuse_all(good, "graph document", lambda x: f.graph_document(encode(x)))

    def test_certificates(self):
        delegated = next(x for x in load("certificates") if x["checks"]["range"] == "passed")
        state = f.decode(bytes.fromhex(delegated["certificate"]), state=True)
        self.assertIn("delegation", state)
        self.refuse_all(state, "state", lambda x: f.opened(cbor2.dumps(x)))
        for wrong in ([5], [0, 0], [3, "text"], [4, bytes(31)], [1, [0]], [2, "time", [0]], [1, [3, b""], [0]], "tree",
                      [1, [2, b"b", [0]], [2, b"a", [0]]], [1, [2, b"a", [0]], [2, b"a", [4, bytes(32)]]]):
            changed = copy.deepcopy(state) | {"tree": wrong}
            with self.subTest(wrong):
                self.assertTrue(refuses(lambda: f.opened(cbor2.dumps(changed))))
            count("trees refused")

    def test_numbers_and_principals(self):
        for n in (0, 127, 128, 300, (1 << 64) - 1):
            self.assertEqual(f.unleb(f.leb(n)), n)
        for raw in (b"", b"\x80", b"\x80\x00", b"\x97\x80\x00", b"\x01\x01", f.leb(1 << 64)):
            self.assertTrue(refuses(lambda: f.unleb(raw)), raw)
        self.assertEqual(f.principal("aaaaa-aa"), b"")
        for text in ("", "aaaaa-ab", "AAAAA-AA", "aaaaaaa", "aaaa-aaa", "a a aaa-aa", 5, self.text_of(bytes(30))):
            self.assertTrue(refuses(lambda: f.principal(text)), text)
        self.assertEqual(f.principal(self.text_of(bytes(29))), bytes(29))

    def text_of(self, raw):
        letters = base64.b32encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().lower().rstrip("=")
        return "-".join(letters[i:i + 5] for i in range(0, len(letters), 5))

    def test_what_the_library_reads_and_the_format_does_not_have(self):
        for raw in ("c249010000000000000000", "c24105", "c100", "d81c80", "f4", "f6", "f7", "e0", "fb3ff0000000000000",
                    "20", "a10000", "a1410000", "9fff", "ff", "81", "", "5f4101ff", "a2616100616100", "6180"):
            with self.subTest(raw):
                self.assertTrue(refuses(lambda: f.decode(bytes.fromhex(raw))))
                self.assertTrue(refuses(lambda: f.decode(bytes.fromhex(raw), state=True)))
            count("values refused")

    def test_proofs_of_leaves_that_the_tree_does_not_have(self):
        leaves = [bytes([i]) * 32 for i in range(7)]
        path = [v.merkle(leaves[:4]), v.merkle(leaves[4:6])]
        path.reverse()
        last = f.sha(b"\0", leaves[6])
        self.assertEqual(v.lead(6, 7, 7, path, last)[1], v.merkle(leaves))
        for a, b, n in ((7, 8, 7), (8, 9, 7), (-1, 0, 7), (6, 7, 6), (6, 6, 7)):
            self.assertTrue(refuses(lambda: f.need(v.lead(a, b, n, path, last)[1] == v.merkle(leaves), "root")), a)
            count("proofs of no leaf")

    def test_records_under_the_uid_of_something_else(self):
        run = {"name": "a/b", "definition": bytes(32), "graph": bytes(32), "params": bytes(32)}
        environment = {"name": "a/b", "approvals": 0, "rules": bytes(32)}
        for opened, second in ((("run_opened", run), ("held", {"identity": bytes(32), "reason": "r"})),
                               (("run_opened", run), ("env_closed", {})), (("run_opened", run), ("run_opened", run)),
                               (("env_opened", environment), ("run_finished", {"outcome": "failed"})),
                               (("env_opened", environment), ("env_opened", environment))):
            place = {"project": "shop", "domain": "east"}
            blocks = [(i, {"btype": "dcanary_" + kind, "body": body | {"run": "u", "n": i}, **place}, None)
                      for i, (kind, body) in enumerate((opened, second))]
            self.assertFalse(refuses(lambda: v.check_records(blocks[:1])))
            with self.subTest(second):
                self.assertTrue(refuses(lambda: v.check_records(blocks)))
            count("records of something else")

    def test_blocks_under_an_older_policy_are_left_open_only_alone(self):
        roles = {("shop", b"\1", "operator", "east")}
        block = {"project": "shop", "domain": "east", "caller": b"\1", "policy": 3, "btype": "", "body": {"run": "u"}}
        for policy, caller, whole, older in ((3, b"\1", True, []), (3, b"\1", False, []), (2, b"\1", False, []),
                                             (2, b"\2", False, [9]), (2, b"\1", True, None), (4, b"\1", False, None),
                                             (3, b"\2", False, None), (3, b"\2", True, None)):
            blocks = [(9, block | {"policy": policy, "caller": caller}, None)]
            with self.subTest((policy, caller, whole)):
                if older is None:
                    self.assertTrue(refuses(lambda: v.check_writers(blocks, {}, 3, roles, whole)))
                else:
                    self.assertEqual(v.check_writers(blocks, {}, 3, roles, whole), (3, roles, older))
            count("writers")
