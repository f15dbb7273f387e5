"""How things are written: values, fields, blocks, documents, witnesses, trust file (sections 1 to 5, 7 to 9).

Part of the second verifier. Everything here reads strictly and decides nothing; the checks are in verify.py.
"""
import base64, hashlib, io, json, re, zlib
import cbor2
from py_arkworks_bls12381 import G2Point

DER = bytes.fromhex("308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100")
LABELS = b"dcanary_policy dcanary_revoked dcanary_root dcanary_size last_block_hash last_block_index".split()

def need(ok, why):
    if not ok:
        raise ValueError(why)

# --- values (section 1): the library reads, and writing again must give the same bytes
def plain(v, depth):
    if isinstance(v, dict):
        return all(type(k) is str for k in v) and plain(list(v.values()), depth)
    if isinstance(v, list):
        return depth > 0 and all(plain(x, depth - 1) for x in v)
    return type(v) in (bytes, str) or type(v) is int and 0 <= v < 1 << 64

def encode(v):
    return cbor2.dumps(v, canonical=True)

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

def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def leb(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + leb(n >> 7)

def unleb(raw):
    n = sum((b & 127) << 7 * i for i, b in enumerate(raw or b""))
    need(raw and n < 1 << 64 and leb(n) == raw, "not a LEB128 number of 64 bits")
    return n

def vhash(v):
    match v:
        case dict(): return sha(*sorted(sha(k.encode()) + vhash(x) for k, x in v.items()))
        case list(): return sha(*map(vhash, v))
        case int(): return sha(leb(v))
    return sha(v if isinstance(v, bytes) else v.encode())

# --- fields: "name:KIND", "name?:KIND" where it may be absent, and no others; blocks (sections 2 and 3)
def fields(v, spec):
    known = dict(f.split(":") for f in spec.split())
    need(isinstance(v, dict) and all(k in known or k + "?" in known for k in v), "not a map, or unknown fields in it")
    for name, kind in known.items():
        key = name.rstrip("?")
        need(name != key if key not in v else KINDS[kind](v[key]), f"field {key} is missing or wrong")
    return v

def text(pattern=".*", most=1 << 20):
    return lambda v: isinstance(v, str) and len(v.encode()) <= most and bool(re.fullmatch(pattern, v, re.S))

def blob(*sizes):
    return lambda v: isinstance(v, bytes) and (not sizes or len(v) in sizes)

def listed(test):
    return lambda v: isinstance(v, list) and all(map(test, v))

def inside(spec):
    return lambda v: fields(v, spec)

def one_of(*values):
    return lambda v: type(v) in map(type, values) and v in values
NAME = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
HEX = text("([0-9a-f]{2})*")
KINDS = {
    "N": lambda v: type(v) is int, "A": lambda v: type(v) is int and v > 0, "0": one_of(0), "1": one_of(1),
    "B": blob(), "H": blob(32), "P": blob(*range(30)), "S": blob(48), "L": listed(lambda x: True),
    "M": lambda v: isinstance(v, dict), "T": text(), "D": text(NAME), "D0": text(f"({NAME})?"), "X": HEX,
    "run": text("[A-Za-z0-9-]+", 64), "why": text(".+", 64), "stage": text("[^\x00-\x1f\x7f-\x9f]+", 253),
    "role": one_of("owner", "operator"), "skip": one_of("condition", "needs", "results", "ended"),
    "end": one_of("succeeded", "failed", "cancelled", "timed_out"), "source": inside("repo:T ref?:T commit:T"),
    "artifacts": listed(inside("name:T digest:H size:N")), "btype": lambda v: v in BODIES,
    "delegation": inside("subnet_id:B certificate:B"), "proved": listed(inside("index:N block:X proof:hashes")),
    "F": one_of("dcanary-trust/1"), "R": one_of("dcanary-run/1"), "E": one_of("dcanary-export/1"),
    "key": lambda v: HEX(v) and der_key(bytes.fromhex(v)), "id": lambda v: text()(v) and principal(v) is not None,
    "ids": listed(lambda v: KINDS["id"](v)), "hashes": listed(text("[0-9a-f]{64}")), "owner": text(".+"),
    "domains": listed(inside("owner:owner domain:D principal:id")), "none": one_of({"threshold": 0, "keys": []})}
STAGE, ATTEMPT = "run:run n:N stage:stage ", "run:run n:N stage:stage attempt:A "
BODIES = {"dcanary_" + name: spec for name, spec in {
    "ledger_opened": "owner:P incarnation:0", "ledger_restored": "incarnation:A",
    "role_granted": "principal:P role:role domain:D0", "role_revoked": "principal:P role:role domain:D0",
    "conflict": "run:run n:N have:N offered:H", "run_finished": "run:run n:N outcome:end",
    "run_opened": "run:run n:N name:T definition:H graph:H params:H source?:source",
    "stage_started": ATTEMPT + "image:T", "stage_succeeded": ATTEMPT + "outputs:H artifacts?:artifacts",
    **dict.fromkeys(("stage_failed", "stage_retried", "stage_disputed"), ATTEMPT + "reason:why"),
    "stage_skipped": STAGE + "reason:skip", "stage_cancelled": STAGE + "reason:why",
    "record_refused": "run:run n:N hash:H reason:why"}.items()}

def principal(name):
    raw = base64.b32decode(name.replace("-", "").upper() + "=" * (-len(name.replace("-", "")) % 8))[4:]
    code = base64.b32encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().lower().rstrip("=")
    need(re.sub("(.{5})(?=.)", r"\1-", code) == name and len(raw) <= 29, "not a principal's text form")
    return raw

def role_fits(role, project, domain):
    return project == domain == "" if role == "owner" else bool(project and domain)

def is_record(body):
    return "n" in body and "have" not in body

def block(v):
    fields(v, "btype:btype phash?:H ts:N claimed_ts:N caller:P project:D0 domain:D0 policy:N proto:1 body:M")
    body, place = fields(v["body"], BODIES[v["btype"]]), (v["project"], v["domain"])
    fits = all(place) if "n" in body else place == ("", "")
    if "role" in body:
        fits = not place[1] and role_fits(body["role"], place[0], body["domain"])
    need(fits, "project or domain do not fit the block type")
    need(v["ts"] == v["claimed_ts"] or is_record(body), "times differ in a block of the canister itself")
    need(len(encode(body)) <= 2048, "body too long")
    return body

def der_key(raw):
    need(raw and len(raw) == 133 and raw[:37] == DER and raw[37] != 0xc0, "not a DER-encoded BLS key of 133 bytes")
    return G2Point.from_compressed_bytes(raw[37:]) and raw[37:]

# --- documents, certificates and the trust file
def tree(t):
    """(digest, {label: subtree} or leaf bytes) of what is revealed; refuses labels out of order."""
    def node(name, *parts):
        return sha(bytes([len(name)]), name, *parts)
    match t:
        case [0]: return node(b"ic-hashtree-empty"), {}
        case [1, a, b]:
            (da, xa), (db, xb) = tree(a), tree(b)
            need(isinstance(xa, dict) and isinstance(xb, dict), "a fork over a leaf")
            need(not xa or not xb or max(xa) < min(xb), "labels out of order")
            return node(b"ic-hashtree-fork", da, db), xa | xb
        case [2, bytes(name), sub]:
            inner = tree(sub)
            return node(b"ic-hashtree-labeled", name, inner[0]), {name: inner}
        case [3, bytes(data)]: return node(b"ic-hashtree-leaf", data), data
        case [4, bytes(digest)] if len(digest) == 32: return digest, {}
    raise ValueError("not a hash tree")

def leaf(t, *path, kind=bytes):
    for name in path:
        t = t[1].get(name) if t and isinstance(t[1], dict) else None
    return t[1] if t and isinstance(t[1], kind) else None

def parse_certificate(raw):
    c = fields(tagged(raw), "tree:L signature:S delegation?:delegation")
    return tree(c["tree"]), c["signature"], c.get("delegation")

def labels(raw):
    """(digest, policy hash, root, size, hash of the last block) of a witness."""
    def shown(t):
        return all(map(shown, t[1:])) if t[0] == 1 else t[0] in (0, 2)
    digest, leaves = tree(tagged(raw))
    need(list(leaves) == LABELS and shown(tagged(raw)), "not exactly the labels")
    policy, revoked, root, size, last, index = [x[1] for x in leaves.values()]
    need(all(map(KINDS["H"], (policy, revoked, root, last))) and unleb(index) + 1 == unleb(size), "a label's value")
    return digest, policy, root, unleb(size), last

def policy_document(raw):
    """(version, {(project, principal, role): domain}) of section 5."""
    doc = fields(decode(raw)[0], "version:N roles:L")
    keys = [(fields(x, "domain:D0 principal:P project:D0 role:role")["project"], x["principal"], x["role"])
            for x in doc["roles"]]
    fit = all(role_fits(x["role"], x["project"], x["domain"]) for x in doc["roles"])
    need(fit and keys == sorted(set(keys)), "roles")
    return doc["version"], dict(zip(keys, [x["domain"] for x in doc["roles"]]))

def graph_document(raw):
    """{stage: (needs, highest attempt, flags)} of section 4."""
    stages = fields(decode(raw)[0], "v:1 stages:L")["stages"]
    for i, (name, needs, attempts, flags, gates) in enumerate(stages):
        need(KINDS["stage"](name) and KINDS["A"](attempts) and flags in (0, 1, 2, 3) and gates == [], "stage")
        need(needs == sorted(set(needs)) and not (needs and flags & 2), "needs")
        need(all(KINDS["N"](x) and x < i and not stages[x][3] & 2 for x in needs), "needs")
    graph = {s[0]: ([stages[x][0] for x in s[1]], s[2], s[3]) for s in stages}
    need(len(graph) == len(stages) and len(raw) <= 32768, "a stage twice, or too long")
    return graph

def trust_file(text):
    """Section 9, where a field that is not understood might be a demand that would go unchecked."""
    once = lambda pairs: dict(pairs) if len(dict(pairs)) == len(pairs) else need(False, "a field is there twice")
    return fields(json.loads(text, object_pairs_hook=once), "format:F root_key:key ledger:id project?:D "
                  "module_hashes:hashes controllers?:ids domains?:domains quorum?:none witnesses?:none")

def run_evidence(file):
    """The evidence of a run (section 8): its parts as bytes, its blocks as (index, value, proof)."""
    fields(file, "format:R ledger:X root_key?:X certificate:X hash_tree:X blocks:proved graph?:X policy:X code?:X")
    e = {name: bytes.fromhex(part) for name, part in file.items() if name not in ("format", "blocks")}
    e["blocks"] = [(b["index"], decode(bytes.fromhex(b["block"]))[0], list(map(bytes.fromhex, b["proof"])))
                   for b in file["blocks"]]
    decode(e["policy"]), decode(e.get("graph", b"\0"))
    return e
