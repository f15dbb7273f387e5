#!/usr/bin/env python3
"""Second, independent verifier of DCanary's ledger: of whole exports, and of single runs by their evidence.

It shares no code with the first. The sections named below are those of docs/ledger-format.md; formats.py reads what
they define, runs.py knows the states of a run, and all other checks are here.
"""
import argparse, json, sys
from py_arkworks_bls12381 import G1Point, G2Point, GT
from formats import (KINDS, blob, block, decode, der_key, fields, is_record, labels, leaf, listed, need,
                     parse_certificate, policy_document, principal, run_evidence, sha, tagged, trust_file, unleb, vhash)
from runs import Run

CHECKS = """format trust certificate delegation range age labels blocks hash_links root consistency transitions policy
            code cluster""".split()
DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
MINUTE = 60_000_000_000

# --- tree (section 6), as RFC 9162 defines it
def split(n):
    return 1 << (n - 1).bit_length() - 1

def merkle(leaves):
    if len(leaves) < 2:
        return sha(b"\0", *leaves) if leaves else sha()
    k = split(len(leaves))
    return sha(b"\1", merkle(leaves[:k]), merkle(leaves[k:]))

def included(data, i, n, path):
    """The root of n leaves to which an inclusion proof leads."""
    need(0 <= i < n and bool(path) == (n > 1), "inclusion proof of another length")
    if n == 1:
        return sha(b"\0", data)
    k, *below, top = split(n), *path
    if i < k:
        return sha(b"\1", included(data, i, k, below), top)
    return sha(b"\1", top, included(data, i - k, n - k, below))

def extended(m, n, path, old):
    """Old and new root as a consistency proof has them; old is the known root while it is still whole, then None."""
    need(0 < m <= n and len(path) >= (m < n or old is None), "consistency proof of another length")
    if m == n:
        need(len(path) == (old is None), "consistency proof of another length")
        return (old or path[0],) * 2
    k, *below, top = split(n), *path
    a, b = extended(m, k, below, old) if m <= k else extended(m - k, n - k, below, None)
    return (a, sha(b"\1", b, top)) if m <= k else (sha(b"\1", top, a), sha(b"\1", top, b))

def advance(old, new, proof):
    """What becomes of a checkpoint (size, root, time) that is shown a new head."""
    try:
        need(extended(old[0], new[0], proof, old[1]) == (old[1], new[1]), "other roots")
        return "accepted"
    except ValueError:
        return "stale" if new[0] < old[0] and new[2] < old[2] else "forked"

# --- certificates and hash trees of the Internet Computer
def bls(key, digest, signature):
    point, sig = G2Point.from_compressed_bytes(key), G1Point.from_compressed_bytes(signature)
    message = G1Point.hash_to_curve(b"\x0dic-state-root" + digest, DST)
    return GT.pairing_check([sig, -message], [G2Point(), point])

def in_ranges(raw, canister):
    pairs = tagged(raw)
    need(listed(listed(blob()))(pairs) and all(len(p) == 2 for p in pairs), "ranges cannot be read")
    return any(lo <= canister <= hi for lo, hi in pairs)

def check_certificate(r, raw, root_key, canister):
    """Fills certificate, delegation and range; what the returned tree says is certified only if all three passed."""
    def delegation():
        inner, inner_signature, deeper = parse_certificate(d["certificate"])
        need(deeper is None, "delegation inside a delegation")
        need(bls(root_key, inner[0], inner_signature), "not signed by the root key")
        return inner, der_key(leaf(inner, b"subnet", d["subnet_id"], b"public_key"))
    def in_range():
        shards = leaf(inner, b"canister_ranges", d["subnet_id"], kind=dict) or {}
        shards = [in_ranges(x, canister) for _, x in shards.values() if isinstance(x, bytes)]
        legacy = leaf(inner, b"subnet", d["subnet_id"], b"canister_ranges")
        found = ([any(shards)] if shards else []) + ([in_ranges(legacy, canister)] if legacy is not None else [])
        need(found and all(found), "the ledger is outside the delegated ranges")
    top, signature, d = r.attempt("certificate", lambda: parse_certificate(raw)) or (None, None, None)
    if top:
        r.set("certificate", "unchecked", "no trusted key")
    if top and root_key:
        inner, key = r.attempt("delegation", delegation) or (None, None) if d else (r.set("delegation"), root_key)
        if key:
            r.attempt("range", in_range) if d else r.set("range")
            r.attempt("certificate", lambda: need(bls(key, top[0], signature), "the signature does not verify"))
    return top

def check_age(t, now):
    time = unleb(leaf(t, b"time"))
    need(now is None or now - 3 * MINUTE <= time <= now + MINUTE, "older than 3 minutes, or more than 1 minute ahead")
    return time

def check_head(r, certificate, witness, key, ledger, now):
    """Fills certificate to labels; the policy label, root, size and last block hash, certified if all of it passed."""
    top = check_certificate(r, certificate, key, ledger)
    time = top and r.attempt("age", lambda: check_age(top, now))
    if time is not None and now is None:
        r.set("age", "notApplicable", f"as of {time} ns; what was revoked later is not checked")
    facts = r.attempt("labels", lambda: labels(witness))
    if facts and top:
        data = leaf(top, b"canister", ledger, b"certified_data")
        r.attempt("labels", lambda: need(data == facts[0], "not certified"))
    elif facts:
        r.set("labels", "unchecked", "no certificate")
    return facts and facts[1:]

def check_code(r, raw, key, ledger, now):
    t = r.trust or {"module_hashes": []}
    def examine():
        top = check_certificate(inner := Report(r.trust), raw, key, ledger)
        need(inner.code() != 1, "; ".join(f"{c}: {d}" for c, (s, d) in inner.rows.items() if s == "failed"))
        check_age(top, now)
        module, held = [leaf(top, b"canister", ledger, name) for name in (b"module_hash", b"controllers")]
        need(KINDS["H"](module) and listed(KINDS["P"])(held := tagged(held)), "module hash or controllers")
        need(not t["module_hashes"] or module.hex() in t["module_hashes"], f"module {module.hex()} is not accepted")
        need("controllers" not in t or set(map(principal, t["controllers"])) == set(held), "other controllers")
    demanded = t["module_hashes"] or "controllers" in t
    if raw is not None or demanded:
        r.attempt("code", examine)
    if not demanded:
        r.set("code", "notApplicable" if r.trust else "unchecked", "nothing of the code is pinned")

# --- what is reported (section 10)
class Report:
    def __init__(self, trust):
        self.rows, self.trust = {c: ("unchecked", "not reached") for c in CHECKS}, trust
        self.root_key = bytes.fromhex(trust["root_key"]) if trust else None
        self.key = self.root_key and self.root_key[37:]
    def set(self, check, status="passed", detail=""):
        if self.rows[check][0] != "failed":
            self.rows[check] = (status, detail)
    def attempt(self, check, test):
        try:
            out = test()
        except Exception as e:  # whatever evidence brings a reader to is evidence against it
            return self.set(check, "failed", f"{e or type(e).__name__}")
        self.set(check)
        return out
    def passed(self, check):
        return self.rows[check][0] == "passed"
    def code(self):
        found = {status for status, _ in self.rows.values()}
        return 1 if "failed" in found else 0 if self.trust and "unchecked" not in found else 2
    def accepts(self, v):
        """Whether the trust file accepts the writer of a block."""
        t = self.trust or {}
        writers = [(d["domain"], principal(d["principal"])) for d in t.get("domains", [])]
        concerned = "domains" in t and t.get("project", v["project"]) == v["project"]
        return not concerned or (v["domain"], v["caller"]) in writers

class Replay:
    """All blocks in order: links, incarnation, policy, runs."""
    def __init__(self, r):
        self.r, self.leaves, self.runs, self.incarnation, self.version, self.roles = r, [], {}, 0, 0, {}
    def add(self, i, v):
        self.r.attempt("hash_links", lambda: need(i == 0 or v["phash"] == self.leaves[-1], f"block {i}"))
        self.leaves.append(vhash(v))
        self.r.attempt("blocks", lambda: self.form(i, v, block(v)))
        if self.r.passed("blocks"):
            self.r.attempt("policy", lambda: self.policy(i, v, v["body"]))
            if is_record(v["body"]):
                run = self.runs.setdefault((v["project"], v["domain"], v["body"]["run"]), Run())
                self.r.attempt("transitions", lambda: run.step(v["btype"][8:], v["body"]))
    def form(self, i, v, body):
        need(("phash" not in v) == (v["btype"] == "dcanary_ledger_opened") == (i == 0), f"block {i}: opening")
        self.incarnation += v["btype"] == "dcanary_ledger_restored"
        need(body.get("incarnation", self.incarnation) == self.incarnation and body.get("have", -1) < i, f"block {i}")
    def policy(self, i, v, body):
        if i == 0:
            self.roles["", body["owner"], "owner"] = ""
        need(v["policy"] == self.version, f"block {i}: policy version")
        if "role" in body:
            granted, key = v["btype"] == "dcanary_role_granted", (v["project"], body["principal"], body["role"])
            held = self.roles.get(key)
            need(("", v["caller"], "owner") in self.roles, f"block {i}: caller is no owner")
            need(not granted or held in (None, body["domain"]), f"block {i}: second domain of a principal")
            if held == (None if granted else body["domain"]):
                self.version += 1
                self.roles.update({key: body["domain"]}) if granted else self.roles.pop(key)
        elif "n" in body:
            need(self.roles.get((v["project"], v["caller"], "operator")) == v["domain"], f"block {i}: no operator here")
            need(self.r.accepts(v), f"block {i}: the writer is not trusted")

def verify(raw, t):
    """An export (section 8)."""
    def form():
        first, *encoded, trailer = decode(raw, lambda h: fields(h, "format:E ledger:P size:A")["size"] + 2)
        fields(trailer, "certificate:B hash_tree:B policy:B code?:B")
        need(listed(blob())(encoded), "a block is no blob")
        return first["ledger"], [decode(b)[0] for b in encoded], trailer, vhash(decode(trailer["policy"])[0])
    r = Report(t)
    named, blocks, trailer, policy_hash = r.attempt("format", form) or (None,) * 4
    if named is None:
        return r
    ledger = principal(t["ledger"]) if t else named
    if t:
        r.attempt("trust", lambda: need(named == ledger, "the export names another ledger"))
    facts = check_head(r, trailer["certificate"], trailer["hash_tree"], r.key, ledger, None)
    replay = Replay(r)
    for i, v in enumerate(blocks):
        replay.add(i, v)
    if r.passed("blocks"):
        r.set("transitions", "passed", "graphs are not at hand: needs and attempt limits not checked")
        r.attempt("policy", lambda: need(policy_document(trailer["policy"]) == (replay.version, replay.roles),
                                         "the document is not what the blocks lead to"))
    else:
        r.set("transitions", "unchecked"), r.set("policy", "unchecked")
    if facts:
        policy, root, size, last = facts
        r.attempt("root", lambda: need(size == len(blocks) and merkle(replay.leaves) == root, "other blocks"))
        r.attempt("hash_links", lambda: need(replay.leaves[-1] == last, "last_block_hash"))
        if policy_hash != policy:
            r.set("policy", "failed", "the document is not the certified one")
    check_code(r, trailer.get("code"), r.key, ledger, None)
    r.set("consistency", "notApplicable"), r.set("cluster", "notApplicable")
    return r

def verify_run(file, expected, t, now):
    """The evidence of one run, which must be the one that is asked for: {"project", "domain" or None, "run"}."""
    def form(i, v):
        body, place = block(v), {"project": v["project"], "domain": v["domain"]}
        need(is_record(body) and i > 0 and "phash" in v, f"block {i} is no record of a run")
        found = place | {"run": body["run"]}
        need(found == {k: expected[k] or found[k] for k in found}, f"block {i} is of another run: {found}")
        return place
    def all_blocks():
        places = [form(i, v) for i, v, _ in blocks]
        need(places and all(p == places[0] for p in places), "no block, or blocks of several domains")
        need(all(a[0] < b[0] for a, b in zip(blocks, blocks[1:])), "blocks out of order")
        return True
    def links():
        pairs = [(b[1]["phash"], vhash(a[1])) for a, b in zip(blocks, blocks[1:]) if a[0] + 1 == b[0]]
        if facts and blocks[-1][0] + 1 == facts[2]:
            pairs.append((facts[3], vhash(blocks[-1][1])))
        need(all(a == b for a, b in pairs), "neighbours that do not link")
        return pairs
    def transitions():
        need(graph is None or blocks[0][1]["body"].get("graph", sha(graph)) == sha(graph), "another graph document")
        run = Run(graph)
        for _, v, _ in blocks:
            run.step(v["btype"][8:], v["body"])
    def writers():
        older = []
        for i, v, _ in blocks:
            held = roles.get((v["project"], v["caller"], "operator")) == v["domain"]
            need(v["policy"] <= version and r.accepts(v), f"block {i}: a later policy, or the writer is not trusted")
            need(held or v["policy"] < version, f"block {i}: the writer is no operator here")
            older += [] if held else [i]
        return older
    r = Report(t)
    e = r.attempt("format", lambda: run_evidence(file))
    if e is None:
        return r
    blocks, graph, ledger = e["blocks"], e.get("graph"), principal(t["ledger"]) if t else e["ledger"]
    if t:
        named = e["ledger"] == ledger and e.get("root_key", r.root_key) == r.root_key
        r.attempt("trust", lambda: need(named, "another ledger or root key is named"))
        r.attempt("trust", lambda: need(t.get("project", expected["project"]) == expected["project"], "other project"))
    facts = check_head(r, e["certificate"], e["hash_tree"], r.key, ledger, now)
    if facts:
        policy, root, size, _ = facts
        proved = lambda: all(included(vhash(v), i, size, path) == root for i, v, path in blocks)
        r.attempt("root", lambda: need(proved(), "a block is not in the certified tree"))
        r.attempt("policy", lambda: need(vhash(decode(e["policy"])[0]) == policy, "not the certified document"))
    version, roles = r.attempt("policy", lambda: policy_document(e["policy"])) or (None, None)
    if r.rows["policy"][0] == "passed":
        r.set("policy", "unchecked", "the writers were not looked at")
    if r.attempt("blocks", all_blocks):
        if not r.attempt("hash_links", links):
            r.set("hash_links", "notApplicable", "no neighbours: the inclusion proofs hold them")
        r.attempt("transitions", transitions)
        if graph is None:
            r.set("transitions", "unchecked", "the graph is not at hand: needs and attempt limits")
        older = roles and r.attempt("policy", writers)
        if older:
            r.set("policy", "unchecked", f"blocks {older}: their writer holds no role now; an export tells")
    check_code(r, e.get("code"), r.key, ledger, now)
    return r

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("file", help="an export, or with --run the evidence of a run")
    p.add_argument("--trust", help="trust file; without one the exit code is never 0")
    p.add_argument("--run", help="UID of the run that the evidence must prove")
    p.add_argument("--project", help="with --run: project of that run"), p.add_argument("--domain")
    p.add_argument("-o", choices=["text", "json"], default="text")
    a = p.parse_args()
    trust = trust_file(open(a.trust, encoding="utf-8").read()) if a.trust else None
    if a.run:
        expected = {"project": a.project, "domain": a.domain, "run": a.run}
        report = verify_run(json.load(open(a.file, encoding="utf-8")), expected, trust, None)
        report.set("consistency", "notApplicable"), report.set("cluster", "notApplicable")
    else:
        report = verify(open(a.file, "rb").read(), trust)
    rows = [{"check": c, "status": s, "detail": d} for c, (s, d) in report.rows.items()]
    print(json.dumps({"checks": rows}) if a.o == "json" else
          "\n".join("{check:12} {status:13} {detail}".format(**x) for x in rows))
    sys.exit(report.code())
