#!/usr/bin/env python3
"""Second, independent verifier of a DCanary journal export (docs/ledger-format.md). Shares no code with the first."""
import argparse, base64, cbor2, hashlib, io, json, re, sys, zlib
from py_arkworks_bls12381 import G1Point, G2Point, GT

CHECKS = "format trust certificate delegation range age labels blocks hash_links root consistency transitions policy code cluster".split()
DER = bytes.fromhex("308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100")
DST = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
LABELS = [b"dcanary_policy", b"dcanary_revoked", b"dcanary_root", b"dcanary_size", b"last_block_hash", b"last_block_index"]
def need(ok, why):
    if not ok:
        raise ValueError(why)
# --- values (section 1): the library reads, and writing again must give the same bytes
def plain(v, depth):
    if isinstance(v, (list, dict)):
        keys, inner = (list(v), list(v.values())) if isinstance(v, dict) else ([], v)
        return depth > 0 and all(type(k) is str for k in keys) and all(plain(x, depth - 1) for x in inner)
    return type(v) in (bytes, str) or type(v) is int and 0 <= v < 1 << 64
def encode(v): return cbor2.dumps(v, canonical=True)
def decode(raw, count=lambda first: 1):
    """The values of a sequence, of which the first tells how many there are."""
    decoder, out = cbor2.CBORDecoder(io.BytesIO(raw)), []
    while not out or len(out) < count(out[0]):
        out.append(decoder.decode())
        need(plain(out[-1], 16), "not a value of section 1")
    need(b"".join(map(encode, out)) == raw, "not the deterministic encoding, or bytes follow")
    return out
def tagged(raw):
    v = cbor2.loads(raw := raw.removeprefix(b"\xd9\xd9\xf7"))
    need(plain(v, 150) and cbor2.dumps(v) == raw, "not the shortest encoding")
    return v
def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def leb(n): return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + leb(n >> 7)
def unleb(raw):
    n = sum((b & 127) << 7 * i for i, b in enumerate(raw or b""))
    need(raw and n < 1 << 64 and leb(n) == raw, "not a LEB128 number of 64 bits")
    return n
def vhash(v):
    if isinstance(v, dict):
        return sha(*sorted(sha(k.encode()) + vhash(x) for k, x in v.items()))
    return sha(*map(vhash, v) if isinstance(v, list) else [leb(v) if isinstance(v, int) else v.encode() if isinstance(v, str) else v])
def merkle(leaves):
    if len(leaves) < 2:
        return sha(b"\0", leaves[0]) if leaves else sha()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1", merkle(leaves[:k]), merkle(leaves[k:]))
# --- blocks (sections 2 and 3) and trust file (section 9): "name:KIND", "name?:KIND" where it may be absent, no others
def fields(v, spec):
    known = dict(f.split(":") for f in spec.split())
    need(isinstance(v, dict) and all(k in known or k + "?" in known for k in v), "not a map, or one with unknown fields")
    for name, kind in known.items():
        key = name.rstrip("?")
        need(name != key if key not in v else KINDS[kind](v[key]), f"field {key} is missing or wrong")
    return v
def is_text(v, pattern=".*", most=1 << 20): return isinstance(v, str) and len(v.encode()) <= most and bool(re.fullmatch(pattern, v, re.S))
def is_list(v, test): return isinstance(v, list) and all(test(x) for x in v)
KINDS = {
    "N": lambda v: type(v) is int, "1": lambda v: v == 1, "0": lambda v: v == 0, "A": lambda v: type(v) is int and v > 0, "T": is_text,
    "B": lambda v: isinstance(v, bytes), "H": lambda v: isinstance(v, bytes) and len(v) == 32, "L": lambda v: isinstance(v, list),
    "P": lambda v: isinstance(v, bytes) and len(v) <= 29, "S": lambda v: isinstance(v, bytes) and len(v) == 48,
    "M": lambda v: isinstance(v, dict), "run": lambda v: is_text(v, "[A-Za-z0-9-]+", 64), "why": lambda v: is_text(v, ".+", 64),
    "D": lambda v: is_text(v, "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"), "D0": lambda v: v == "" or KINDS["D"](v),
    "stage": lambda v: is_text(v, "[^\x00-\x1f\x7f-\x9f]+", 253), "role": lambda v: v in ("owner", "operator"),
    "skip": lambda v: v in ("condition", "needs", "results", "ended"), "btype": lambda v: v in BODIES,
    "end": lambda v: v in ("succeeded", "failed", "cancelled", "timed_out"), "source": lambda v: fields(v, "repo:T ref?:T commit:T"),
    "artifacts": lambda v: is_list(v, lambda x: fields(x, "name:T digest:H size:N")),
    "delegation": lambda v: fields(v, "subnet_id:B certificate:B"),
    "F": lambda v: v == "dcanary-trust/1", "key": lambda v: is_text(v, "[0-9a-f]+") and der_key(bytes.fromhex(v)),
    "id": lambda v: is_text(v) and principal(v) is not None, "ids": lambda v: is_list(v, KINDS["id"]), "owner": lambda v: is_text(v, ".+"),
    "hashes": lambda v: is_list(v, lambda x: is_text(x, "[0-9a-f]{64}")), "none": lambda v: v == {"threshold": 0, "keys": []},
    "domains": lambda v: is_list(v, lambda x: fields(x, "owner:owner domain:D principal:id"))}
STAGE, ATTEMPT = "run:run n:N stage:stage ", "run:run n:N stage:stage attempt:A "
BODIES = {"dcanary_" + name: spec for name, spec in {
    "ledger_opened": "owner:P incarnation:0", "ledger_restored": "incarnation:A", "role_granted": "principal:P role:role domain:D0",
    "role_revoked": "principal:P role:role domain:D0", "conflict": "run:run n:N have:N offered:H",
    "run_opened": "run:run n:N name:T definition:H graph:H params:H source?:source", "stage_started": ATTEMPT + "image:T",
    "stage_succeeded": ATTEMPT + "outputs:H artifacts?:artifacts", "stage_failed": ATTEMPT + "reason:why",
    "stage_retried": ATTEMPT + "reason:why", "stage_disputed": ATTEMPT + "reason:why", "stage_skipped": STAGE + "reason:skip",
    "stage_cancelled": STAGE + "reason:why", "run_finished": "run:run n:N outcome:end",
    "record_refused": "run:run n:N hash:H reason:why"}.items()}
def principal(text):
    raw = base64.b32decode(text.replace("-", "").upper() + "=" * (-len(text.replace("-", "")) % 8))[4:]
    code = base64.b32encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().lower().rstrip("=")
    need(re.sub("(.{5})(?=.)", r"\1-", code) == text and len(raw) <= 29, "not a principal's text form")
    return raw
def role_fits(role, project, domain): return project == domain == "" if role == "owner" else bool(project and domain)
def block(v):
    body = fields(fields(v, "btype:btype phash?:H ts:N claimed_ts:N caller:P project:D0 domain:D0 policy:N proto:1 body:M")["body"],
                  BODIES[v["btype"]])
    place = (v["project"], v["domain"])
    need(all(place) if "n" in body else not place[1] and role_fits(body["role"], place[0], body["domain"]) if "role" in body
         else place == ("", ""), "project or domain do not fit the block type")
    need(v["ts"] == v["claimed_ts"] or ("n" in body and "have" not in body), "times differ in a block of the canister itself")
    need(len(encode(body)) <= 2048, "body too long")
    return body
# --- certificates and hash trees of the Internet Computer
def tree(t):
    """(digest, {label: subtree} or leaf bytes) of what is revealed; refuses labels out of order."""
    dom = lambda name, *parts: sha(bytes([len(name)]), name, *parts)
    match t:
        case [0]: return dom(b"ic-hashtree-empty"), {}
        case [1, a, b]:
            (da, xa), (db, xb) = tree(a), tree(b)
            need(isinstance(xa, dict) and isinstance(xb, dict) and (not xa or not xb or max(xa) < min(xb)), "labels out of order")
            return dom(b"ic-hashtree-fork", da, db), xa | xb
        case [2, bytes(name), sub]:
            return dom(b"ic-hashtree-labeled", name, (inner := tree(sub))[0]), {name: inner}
        case [3, bytes(data)]: return dom(b"ic-hashtree-leaf", data), data
        case [4, bytes(digest)] if len(digest) == 32: return digest, {}
    raise ValueError("not a hash tree")
def leaf(t, *path, kind=bytes):
    for name in path:
        t = t[1].get(name) if t and isinstance(t[1], dict) else None
    return t[1] if t and isinstance(t[1], kind) else None
def bls(key, digest, signature):
    point, sig = G2Point.from_compressed_bytes(key), G1Point.from_compressed_bytes(signature)
    return GT.pairing_check([sig, -G1Point.hash_to_curve(b"\x0dic-state-root" + digest, DST)], [G2Point(), point])
def der_key(raw):
    need(raw and len(raw) == 133 and raw[:37] == DER and raw[37] != 0xc0, "not a DER-encoded BLS key of 133 bytes")
    return G2Point.from_compressed_bytes(raw[37:]) and raw[37:]
def parse_certificate(raw):
    c = fields(tagged(raw), "tree:L signature:S delegation?:delegation")
    return tree(c["tree"]), c["signature"], c.get("delegation")
def in_ranges(raw, canister):
    need(is_list(pairs := tagged(raw), lambda p: is_list(p, KINDS["B"]) and len(p) == 2), "ranges cannot be read")
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
        inner, key = r.attempt("delegation", delegation) or (None, None) if d else (r.set("delegation", "passed"), root_key)
        if key:
            r.attempt("range", in_range) if d else r.set("range", "passed")
            r.attempt("certificate", lambda: need(bls(key, top[0], signature), "the signature does not verify"))
    return top
# --- runs (section 4); graph is the document, or None where it is not at hand
class Run:
    def __init__(self, graph=None):
        self.n, self.over, self.stages, self.graph = 0, False, {}, None
        if graph is not None:
            stages = fields(decode(graph)[0], "v:1 stages:L")["stages"]
            for i, (name, needs, attempts, flags, gates) in enumerate(stages):
                need(KINDS["stage"](name) and KINDS["A"](attempts) and flags in (0, 1, 2, 3) and gates == [], "stage")
                need(needs == sorted(set(needs)) and not (needs and flags & 2), "needs")
                need(all(KINDS["N"](x) and x < i and not stages[x][3] & 2 for x in needs), "needs")
            self.graph = {s[0]: ([stages[x][0] for x in s[1]], s[2], s[3]) for s in stages}
            need(len(self.graph) == len(stages) and len(graph) <= 32768, "a stage twice, or too long")
    def state(self, name): return self.stages.get(name, ("pending", 0))
    def ended(self, name): return self.state(name)[0] not in ("pending", "started", "retried")
    def met(self, name, optional=None):
        optional = self.graph[name][2] & 1 if self.graph else optional
        return self.state(name)[0] in ("succeeded", "condition", "results") or self.state(name)[0] == "failed" and bool(optional)
    def ready(self, name):
        others = [x for x in self.graph or {} if not self.graph[x][2] & 2 and self.graph[name][2] & 2]
        return not self.graph or all(map(self.met, self.graph[name][0])) and all(map(self.ended, others))
    def step(self, kind, body):
        name, k, reason, g, end = body.get("stage"), body.get("attempt", 0), body.get("reason"), self.graph, body.get("outcome")
        need(body["n"] == self.n and not self.over, "number out of order, or after the end")
        need((kind == "run_opened") == (self.n == 0), "a run begins with run_opened, once")
        need(name is None or g is None or name in g, "stage is not in the graph")
        state, last = self.state(name)
        names, broken = g or self.stages, not g or not name or any(self.ended(x) and not self.met(x) for x in g[name][0])
        need({"stage_started": lambda: state in ("pending", "retried") and k - 1 == last and (not g or k <= g[name][1]) and self.ready(name),
              **dict.fromkeys(("stage_succeeded", "stage_retried"), lambda: state == "started" and k == last),
              "stage_failed": lambda: state in ("started", "retried") and k == last, "stage_disputed": lambda: k <= last,
              "stage_skipped": lambda: state == "pending" and (broken if reason == "needs" else reason == "ended" or self.ready(name)),
              "stage_cancelled": lambda: not self.ended(name),
              "run_finished": lambda: all(map(self.ended, names)) and (end != "succeeded" or all(self.met(x, True) for x in names))
              and (end != "failed" or not all(self.met(x, False) for x in names))}.get(kind, lambda: True)(), f"{kind} is not legal here")
        self.over, self.n = kind == "run_finished", self.n + 1
        if name and kind != "stage_disputed":
            self.stages[name] = (reason if kind == "stage_skipped" else kind[6:], k or last)
# --- the export (section 8)
class Report:
    def __init__(self, trust):
        self.rows, self.trust = {c: ("unchecked", "not reached") for c in CHECKS}, trust
    def set(self, check, status, detail=""):
        if self.rows[check][0] != "failed":
            self.rows[check] = (status, detail)
    def attempt(self, check, test):
        try:
            out = test()
        except Exception as e:  # whatever evidence brings a reader to is evidence against it
            return self.set(check, "failed", f"{e or type(e).__name__}")
        self.set(check, "passed")
        return out
    def code(self): return 1 if any(s == "failed" for s, _ in self.rows.values()) else 0 if self.trust else 2
class Replay:
    """Everything that depends on the blocks before: links, incarnation, policy, runs."""
    def __init__(self, r):
        self.r, self.leaves, self.runs, self.incarnation, self.version, self.roles = r, [], {}, 0, 0, {}
    def add(self, i, v):
        self.r.attempt("hash_links", lambda: need(i == 0 or v["phash"] == self.leaves[-1], f"block {i}"))
        self.leaves.append(vhash(v))
        self.r.attempt("blocks", lambda: self.form(i, v, block(v)))
        if self.r.rows["blocks"][0] == "passed":
            self.r.attempt("policy", lambda: self.policy(i, v, v["body"]))
            if "n" in v["body"] and "have" not in v["body"]:
                run = self.runs.setdefault((v["project"], v["domain"], v["body"]["run"]), Run())
                self.r.attempt("transitions", lambda: run.step(v["btype"][8:], v["body"]))
    def form(self, i, v, body):
        need(("phash" not in v) == (v["btype"] == "dcanary_ledger_opened") == (i == 0), f"block {i}: opening")
        self.incarnation += v["btype"] == "dcanary_ledger_restored"
        need(body.get("incarnation", self.incarnation) == self.incarnation and body.get("have", -1) < i, f"block {i}")
    def policy(self, i, v, body):
        caller, t, granted = v["caller"], self.r.trust or {}, v["btype"] == "dcanary_role_granted"
        if i == 0: self.roles["", body["owner"], "owner"] = ""
        need(v["policy"] == self.version, f"block {i}: policy version")
        if "role" in body:
            held = self.roles.get(key := (v["project"], body["principal"], body["role"]))
            need(("", caller, "owner") in self.roles, f"block {i}: caller is no owner")
            need(not granted or held in (None, body["domain"]), f"block {i}: second domain of a principal")
            if held == (None if granted else body["domain"]):
                self.version += 1
                self.roles.update({key: body["domain"]}) if granted else self.roles.pop(key)
        elif "n" in body:
            need(self.roles.get((v["project"], caller, "operator")) == v["domain"], f"block {i}: caller is no operator here")
            need("domains" not in t or t.get("project", v["project"]) != v["project"] or
                 (v["domain"], caller) in [(d["domain"], principal(d["principal"])) for d in t["domains"]], f"block {i}: not trusted")
def policy_document(raw):
    doc = fields(decode(raw)[0], "version:N roles:L")
    keys = [(fields(x, "domain:D0 principal:P project:D0 role:role")["project"], x["principal"], x["role"]) for x in doc["roles"]]
    need(all(role_fits(x["role"], x["project"], x["domain"]) for x in doc["roles"]) and keys == sorted(set(keys)), "roles")
    return doc["version"], dict(zip(keys, [x["domain"] for x in doc["roles"]]))
def labels(raw):
    flat = lambda t: all(map(flat, t[1:])) if t[0] == 1 else t[0] in (0, 2)
    (digest, leaves), shown = tree(tagged(raw)), flat(tagged(raw))
    need(list(leaves) == LABELS and shown, "not exactly the labels")
    policy, revoked, root, size, last, index = [x[1] for x in leaves.values()]
    need(all(KINDS["H"](x) for x in (policy, revoked, root, last)) and unleb(index) + 1 == unleb(size), "a label's value")
    return digest, policy, root, unleb(size), last
def check_code(raw, key, ledger, t):
    top = check_certificate(r := Report(t), raw, key, ledger)
    need(r.code() != 1, "; ".join(f"{c}: {d}" for c, (s, d) in r.rows.items() if s == "failed"))
    unleb(leaf(top, b"time"))
    module, held = leaf(top, b"canister", ledger, b"module_hash"), tagged(leaf(top, b"canister", ledger, b"controllers"))
    need(KINDS["H"](module) and is_list(held, KINDS["P"]), "module hash or controllers cannot be read")
    need(not t or not t["module_hashes"] or module.hex() in t["module_hashes"], f"module {module.hex()} is not accepted")
    need(not t or "controllers" not in t or set(map(principal, t["controllers"])) == set(held), "other controllers")
def verify(raw, t):
    def form():
        first, *encoded, trailer = decode(raw, lambda h: fields(h, "format:T ledger:P size:A")["size"] + 2)
        need(first["format"] == "dcanary-export/1" and is_list(encoded, KINDS["B"]), "format of the export")
        fields(trailer, "certificate:B hash_tree:B policy:B code?:B")
        return first, [decode(b)[0] for b in encoded], trailer, decode(trailer["policy"])[0]
    r = Report(t)
    first, blocks, trailer, policy = r.attempt("format", form) or (None,) * 4
    if first is None: return r
    key, ledger = (bytes.fromhex(t["root_key"])[37:], principal(t["ledger"])) if t else (None, first["ledger"])
    if t:
        r.attempt("trust", lambda: need(first["ledger"] == ledger, "the export names another ledger"))
    replay, top = Replay(r), check_certificate(r, trailer["certificate"], key, ledger)
    for i, v in enumerate(blocks):
        replay.add(i, v)
    if r.rows["blocks"][0] == "passed":
        r.set("transitions", "passed", "graphs are not at hand: needs and attempt limits not checked")
        r.attempt("policy", lambda: need(policy_document(trailer["policy"]) == (replay.version, replay.roles), "not what the blocks say"))
    else:
        r.set("transitions", "unchecked"), r.set("policy", "unchecked")
    if top and r.attempt("age", lambda: unleb(leaf(top, b"time"))) is not None:
        r.set("age", "unchecked", f"as of {unleb(leaf(top, b'time'))} ns; what was revoked later is not checked")
    digest, policy_label, root, size, last = r.attempt("labels", lambda: labels(trailer["hash_tree"])) or (None,) * 5
    if digest:
        r.attempt("labels", lambda: need(not top or leaf(top, b"canister", ledger, b"certified_data") == digest, "not certified"))
        r.attempt("root", lambda: need(size == len(blocks) and merkle(replay.leaves) == root, "other blocks than certified"))
        r.attempt("hash_links", lambda: need(replay.leaves[-1] == last, "last_block_hash"))
        if vhash(policy) != policy_label:
            r.set("policy", "failed", "the document is not the certified one")
    demanded = t and (t["module_hashes"] or "controllers" in t)
    if "code" in trailer or demanded:
        r.attempt("code", lambda: check_code(trailer["code"], key, ledger, t))
    if not demanded:
        r.set("code", "unchecked", "the trust file demands nothing of the code")
    return r
def load_trust(text):
    once = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else need(False, "a field is there twice")
    return fields(json.loads(text, object_pairs_hook=once), "format:F root_key:key ledger:id project?:D module_hashes:hashes "
                  "controllers?:ids domains?:domains quorum?:none witnesses?:none")

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("export"), p.add_argument("--trust"), p.add_argument("-o", choices=["text", "json"], default="text")
    a = p.parse_args()
    report = verify(open(a.export, "rb").read(), load_trust(open(a.trust, encoding="utf-8").read()) if a.trust else None)
    rows = [{"check": c, "status": s, "detail": d} for c, (s, d) in report.rows.items()]
    print(json.dumps({"checks": rows}) if a.o == "json" else "\n".join("{check:12} {status:10} {detail}".format(**x) for x in rows))
    sys.exit(report.code())
