#!/usr/bin/env python3
"""Second, independent verifier of DCanary's ledger: of whole exports, and of evidence of single runs and environments.

It shares no code with the first; libraries read CBOR and compute BLS. Sections are those of docs/ledger-format.md.
"""
import argparse, contextlib, pathlib, re, sys
from py_arkworks_bls12381 import G1Point, G2Point, GT
from formats import (ENVIRONMENTS, RECORDS, RUNS, Verdict, block, decode, graph_document, labels, need, of, opened,
                     policy_document, principal, read, sha, trust_file, unleb, vhash)

CHECKS = """format trust certificate delegation range age labels blocks hash_links root consistency transitions policy
            code cluster""".split()

class Findings(dict):
    """The rows of section 10, and as attributes what was found. What rests on something not found stays unchecked."""
    def __getattr__(self, name):
        raise Verdict("unchecked", f"rests on {name}, which could not be had")
    @contextlib.contextmanager
    def check(self, name):
        row = "passed", ""
        try:
            yield
        except Exception as e:  # whatever evidence brings a reader to is evidence against it
            row = e.args if isinstance(e, Verdict) else ("failed", repr(e))
        if self.get(name, [""])[0] != "failed":
            self[name] = row

# --- runs (section 4) and environments (section 12): what a stage or a request has been through is a word of a letter a
# record, what is legal a regular expression. O: failed, being optional
STAGE, REQUEST, MET = "(sr)*(s[SFOC]?)?|(sr)+[FOC]|[CMUE]", "R(A|Ss*[PA]?)?", set("SMO")
LETTERS = dict(stage_started="s", stage_retried="r", stage_succeeded="S", stage_failed="F", stage_cancelled="C",
               stage_disputed="", condition="M", results="M", needs="U", ended="E", deploy_started="S",
               step_reached="s", analysis_verdict="s", promoted="P", aborted="A", rolled_back="A", frozen="",
               overridden="")

class Run:
    """Where the graph document is not at hand, needs, attempt limits and the list of stages are not checked."""
    def __init__(self, body, graph):
        need(graph is None or sha(graph) == body["graph"], "another graph document")
        self.n, self.kinds, self.graph = 0, RUNS, None if graph is None else graph_document(graph)
        self.words = dict.fromkeys(self.graph or (), "")
    def ends(self, stages):
        return {self.words[x][-1:].strip("sr") for x in stages}
    def step(self, kind, body, _):
        graph, stage = self.graph, body.get("stage")
        if stage:
            needs, most, flags = ([], 1 << 64, 0) if graph is None else graph[stage]
            letter = LETTERS[kind if kind in LETTERS else body["reason"]]
            word = self.words[stage] = self.words.get(stage, "") + ("O" if letter == "F" and flags & 1 else letter)
            count, others = word.count("s"), [x for x in graph or () if flags & 2 and not graph[x][2] & 2]
            need(re.fullmatch(STAGE, word) and count <= most, f"{kind} does not follow the state of {stage}")
            need(body.get("attempt", count) == count or not letter and body["attempt"] < count, "another attempt")
            need(letter not in ("s", "M") or self.ends(needs) <= MET and "" not in self.ends(others), "too early")
            need(letter != "U" or graph is None or self.ends(needs) - MET - {""}, "skipped though no need is broken")
        elif kind == "run_finished":
            ends, outcome, self.n = self.ends(self.words), body["outcome"], -1
            need("" not in ends and (outcome != "failed" or not ends <= MET), "finished too early, or no stage failed")
            need(outcome != "succeeded" or ends - MET <= ({"F"} if graph is None else set()), "a stage did not succeed")

class Environment:
    """Of its current request there are word, request, approvers, whether it needs them, and whether it was rejected."""
    def __init__(self, body, _):
        self.n, self.kinds, self.rules, self.word, self.unknown = 0, ENVIRONMENTS, body, "", set()
        self.held, self.promoted = set(), []
    def step(self, kind, body, promoted_in):
        identity, own = body.get("identity"), self.word and self.request["promotion"] == body.get("promotion")
        if kind == "env_changed":
            self.rules = body
        elif kind == "env_closed":
            self.n, self.promoted = -1, []
        elif kind == "held":
            self.held.add(identity)
            need(len(self.held) <= 256, "more than 256 are held")
        elif kind == "released":
            self.held.remove(identity)
        elif kind == "deploy_requested":
            source, release = self.rules.get("from"), body["release"]
            if source is not None and not (body["undo"] and release in self.promoted):
                promoted = promoted_in(source) if source != body["run"] else []
                need(promoted is None or release in promoted, "nothing vouches for the release")
                self.unknown |= {source} if promoted is None else set()
            need(not self.word and identity not in self.held, "another request is current, or the release is held")
            self.request, self.word, self.approvers, self.rejected = body, "R", set(), False
            self.needed = 0 if body["undo"] and release in self.promoted else 1
        elif kind == "decided" and own:
            need(body["verb"] != "approve" or identity in (None, self.request["identity"]), "approves another identity")
            self.approvers |= {body["by"]} if body["verb"] == "approve" else set()
            self.rejected |= body["verb"] == "reject"
        elif kind not in ("decided", "record_refused"):
            need(own and identity in (None, self.request["identity"]), "not the current request, or another identity")
            self.word, release = self.word + LETTERS[kind], self.request["release"]
            need(re.fullmatch(REQUEST, self.word), f"{kind} does not follow the state of the request")
            may = not self.rejected and self.request["identity"] not in self.held
            enough = len(self.approvers) >= self.rules["approvals"] * self.needed
            need(kind != "deploy_started" or may and enough, "it may not start")
            if kind == "promoted":
                self.promoted = [x for x in self.promoted if x != release][-255:] + [release]
            self.word = "" if self.word[-1] in "PA" else self.word

def check_records(blocks, graph=None, asked=None):
    """The environments without records on which the one asked for rests; what comes from there is taken as promoted."""
    machines = {(v["project"], v["domain"], v["body"].get("run")): None for _, v, _ in blocks}
    for i, v, _ in blocks:
        kind, body, key = v["btype"], v["body"], (v["project"], v["domain"], v["body"].get("run"))
        if kind in RECORDS and body["n"] == 0:
            need(machines[key] is None, f"block {i}: opened twice")
            machines[key] = {"dcanary_run_opened": Run, "dcanary_env_opened": Environment}[kind](body, graph)
        elif kind in RECORDS:
            def promoted_in(uid):
                other = *key[:2], uid
                return None if asked and other not in machines else getattr(machines.get(other), "promoted", [])
            machines[key].n += 1
            legal = machines[key].n == body["n"] and kind in machines[key].kinds and "name" not in body
            need(legal, f"block {i}: a number or a kind that does not follow")
            machines[key].step(kind[8:], body, promoted_in)
    return {x for key, m in machines.items() if asked and key[2] == asked["run"] for x in getattr(m, "unknown", ())}

# --- tree (section 6), as RFC 9162 defines it
def merkle(leaves):
    if len(leaves) < 2:
        return sha(b"\0", *leaves) if leaves else sha()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1", merkle(leaves[:k]), merkle(leaves[k:]))

def lead(a, b, n, path, node):
    """The roots of the first b and of all n leaves to which a proof leads from the node above leaves a to b."""
    need(0 <= a < b <= n and bool(path) == (b - a < n), "a proof of another length, or of no leaf of the tree")
    if b - a == n:
        return node, node
    k, *below, top = 1 << (n - 1).bit_length() - 1, *path
    if b <= k:
        old, new = lead(a, b, k, below, node)
        return old, sha(b"\1", new, top)
    return tuple(sha(b"\1", top, x) for x in lead(a - k, b - k, n - k, below, node))

def advance(old, new, proof):
    """What becomes of a checkpoint (size, root, time) that is shown a new head."""
    m, n = old[0], new[0]
    known = m if m == n else m & -m  # leaves under the node that the proof begins with, or that is the old root
    with contextlib.suppress(Verdict, ValueError):
        node, *path = [old[1]] * (known == m) + proof
        need(lead(m - known, m, n, path, node) == (old[1], new[1]), "other roots")
        return "accepted"
    return "stale" if n < m and new[2] < old[2] else "forked"

# --- certificates of the Internet Computer
def signed(key, digest, signature):
    message = G1Point.hash_to_curve(b"\x0dic-state-root" + digest, b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_")
    points = [G2Point(), G2Point.from_compressed_bytes(bytes.fromhex(key)[37:])]
    need(GT.pairing_check([G1Point.from_compressed_bytes(signature), -message], points), "signed by another key")

def check_certificate(f, raw, trust, canister, now):
    """Fills certificate to age; what it finds is certified only if none of them failed."""
    with f.check("certificate"):
        f.digest, f.paths, f.signature, f.delegation = opened(raw)
    with f.check("delegation"):
        need(trust, "no trust file", "unchecked")
        d, f.above, key = f.delegation, {}, trust["root_key"]
        if d:
            digest, f.above, signature, deeper = opened(d["certificate"])
            need(deeper is None, "a delegation inside a delegation")
            signed(key, digest, signature)
            key = of(f.above[b"subnet", d["subnet_id"], b"public_key"].hex(), "key")
        f.key = key
    with f.check("range"):
        if f.key and d:
            sharded = [x for path, x in f.above.items() if path[:-1] == (b"canister_ranges", d["subnet_id"])]
            both = sharded, [f.above.get((b"subnet", d["subnet_id"], b"canister_ranges"))]
            lists = [[decode(x, "pair*", state=True) for x in part if x is not None] for part in both]
            need(any(lists) and all(any(lo <= canister <= hi for ranges in part for lo, hi in ranges)
                                    for part in lists if part), "the ledger is outside the delegated ranges")
    with f.check("certificate"):
        signed(f.key, f.digest, f.signature)
    with f.check("age"):
        time = unleb(f.paths[b"time",])
        need(now is not None, f"as of {time} ns; what was revoked later is not checked", "notApplicable")
        need(-60_000_000_000 <= now - time <= 180_000_000_000, "older than 3 minutes, or more than 1 minute ahead")

# --- all of it (section 10)
def check_writers(blocks, trust, version, roles, whole):
    """The policy to which all blocks lead; of single blocks, those under an older policy whose writer is none now."""
    writers, older = [(x["domain"], principal(x["principal"])) for x in trust.get("domains", [])], []
    for i, v, _ in blocks:
        body, place = v["body"], (v["project"], v["caller"], "operator", v["domain"])
        need(v["policy"] == version or not whole and v["policy"] < version, f"block {i}: another policy version")
        if "role" in body:
            role, granted = (v["project"], body["principal"], body["role"], body["domain"]), "granted" in v["btype"]
            single = not granted or all(x[:3] != role[:3] or x == role for x in roles)
            need(("", v["caller"], "owner", "") in roles and single, f"block {i}: by no owner, or a second domain")
            after = roles | {role} if granted else roles - {role}
            version, roles = version + (after != roles), after
        elif "run" in body:
            asked = "domains" in trust and trust.get("project", v["project"]) == v["project"]
            need(not asked or (v["domain"], v["caller"]) in writers, f"block {i}: the writer is not trusted")
            need(place in roles or v["policy"] < version, f"block {i}: the writer is no operator here")
            older += [i] if place not in roles else []
    return version, roles, older

def check_blocks(blocks, asked, kinds):
    incarnation, indexes = 0, [i for i, _, _ in blocks]
    need(blocks and indexes == sorted(set(indexes)), "no block, or out of order")
    for i, v, _ in blocks:
        body, opens = block(v), v["btype"] == "dcanary_ledger_opened"
        incarnation += v["btype"] == "dcanary_ledger_restored"
        need(("phash" not in v) == opens == (i == 0) and body.get("have", -1) < i, f"block {i}: out of place")
        need(body.get("incarnation", incarnation) == incarnation, f"block {i}: incarnation")
    if asked:
        mine = [v["body"] for _, v, _ in blocks if v["body"].get("run") == asked["run"]]
        uids = {asked["run"], *(x["from"] for x in mine if "from" in x)}
        need(mine and all(v["btype"] in kinds and v["body"]["run"] in uids for _, v, _ in blocks), "of something else")
        places = {(v["project"], v["domain"]) for _, v, _ in blocks}
        need(places == {(asked["project"] or p, asked["domain"] or d) for p, d in [min(places)]}, f"found in {places}")

def check_code(raw, trust, ledger, now):
    check_certificate(f := Findings(), raw, trust, ledger, now)
    need(exit_code(f) != 1, f"its certificate: {f}")
    module, controllers = [f.paths[b"canister", ledger, x] for x in (b"module_hash", b"controllers")]
    held, accepted = decode(controllers, "principal*", state=True), trust.get("module_hashes") or [module.hex()]
    need(of(module, "hash").hex() in accepted, f"module {module.hex()} is not accepted")
    need("controllers" not in trust or set(map(principal, trust["controllers"])) == set(held), "other controllers")

def verify(raw, trust, asked=None, now=None, alone=True):
    """All findings on an export, or on the evidence of the run or environment {"project", "domain" or None, "run"}."""
    f = Findings.fromkeys(CHECKS, ("unchecked", "not reached"))
    with f.check("format"):
        e = read(raw, asked)
    if f["format"][0] == "failed":
        return f
    blocks, graph, kinds = e["blocks"], e.get("graph"), ENVIRONMENTS if "environment" in e["format"] else RUNS
    hashes, ledger = [vhash(v) for _, v, _ in blocks], principal(trust["ledger"]) if trust else e["ledger"]
    with f.check("trust"):
        need(trust, "no trust file", "unchecked")
        key = bytes.fromhex(trust["root_key"])
        need(e["ledger"] == ledger and e.get("root_key", key) == key, "another ledger or root key is named")
        need(not asked or trust.get("project", asked["project"]) == asked["project"], "another project is pinned")
    check_certificate(f, e["certificate"], trust, ledger, now)
    with f.check("labels"):
        digest, f.policy, f.root, f.size, f.last = labels(e["hash_tree"])
        need(f.paths.get((b"canister", ledger, b"certified_data")) == digest, "not certified")
    with f.check("blocks"):
        check_blocks(blocks, asked, kinds)
        f.blocks = blocks
    with f.check("hash_links"):
        found = f.blocks if asked else blocks
        pairs = [(b[1]["phash"], h) for a, h, b in zip(found, hashes, found[1:]) if a[0] + 1 == b[0]]
        if "size" in vars(f) and (not asked or found[-1][0] + 1 == f.size):
            pairs.append((f.last, hashes[-1]))
        need(all(a == b for a, b in pairs), "blocks that do not link")
        need(pairs or not asked, "no neighbours: the inclusion proofs hold them", "notApplicable")
    with f.check("root"):
        if asked:
            roots = {lead(i, i + 1, f.size, path, sha(b"\0", h))[1] for (i, _, path), h in zip(blocks, hashes)}
            need(roots <= {f.root}, "a block is not in the certified tree")
        need(asked or len(blocks) == f.size and merkle(hashes) == f.root, "not the certified blocks")
    with f.check("transitions"):
        unknown = check_records(f.blocks, graph, asked)
        need(not unknown, f"the records of {unknown} are not at hand: taken as promoted there", "unchecked")
        need(graph is not None or kinds is ENVIRONMENTS, "no graph: needs and attempt limits are not checked",
             "unchecked" if asked else "passed")
    with f.check("policy"):
        known = policy_document(e["policy"])
        need("size" not in vars(f) or vhash(decode(e["policy"])) == f.policy, "not the certified document")
        start = known if asked else (0, {("", f.blocks[0][1]["body"]["owner"], "owner", "")})
        *after, older = check_writers(f.blocks, trust, *start, not asked)
        need(after == list(known), "the document is not what the blocks lead to")
        need(not older, f"the writers of blocks {older} hold no role now; an export tells", "unchecked")
    with f.check("code"):
        pinned = trust and (trust["module_hashes"] or "controllers" in trust)
        if pinned or "code" in e:
            check_code(e["code"], trust, ledger, now)
        need(pinned, "nothing of the code is pinned", "notApplicable" if trust else "unchecked")
    if alone:
        f["consistency"] = f["cluster"] = "notApplicable", ""
    return f

def exit_code(rows):
    found = {status for status, _ in rows.values()}
    return 1 if "failed" in found else 2 if "unchecked" in found else 0

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("file", type=pathlib.Path, help="an export, or with --run the evidence of a run or environment")
    p.add_argument("--trust", type=pathlib.Path, help="trust file; without one the exit code is never 0")
    for option in "run", "project", "domain":
        p.add_argument("--" + option, help=f"{option} that the evidence must be of")
    a = p.parse_args()
    pinned = trust_file(a.trust.read_text("utf-8")) if a.trust else {}
    wanted = {"project": a.project or pinned.get("project"), "domain": a.domain, "run": a.run}
    findings = verify(a.file.read_bytes(), pinned, wanted if a.run else None)
    for check, (outcome, why) in findings.items():
        print(f"{check:12} {outcome:13} {why}")
    sys.exit(exit_code(findings))
