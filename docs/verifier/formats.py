"""How things are written (sections 1 to 5, 7 to 9, 11 of docs/ledger-format.md); what is written otherwise is refused.

Part of the second verifier; the checks are in verify.py.
"""
import base64, hashlib, json, re, zlib
import cbor2
from py_arkworks_bls12381 import G2Point

class Verdict(Exception):
    """Status and detail with which a check ends early."""

def need(ok, why, status="failed"):
    if not ok:
        raise Verdict(status, why)

# --- values (section 1)
def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def leb(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + leb(n >> 7)

def unleb(raw):
    n = sum((b & 127) << 7 * i for i, b in enumerate(raw))
    need(raw and n < 1 << 64 and leb(n) == raw, "not a LEB128 number of 64 bits")
    return n

def vhash(v, depth=16):  # refuses what is no value
    if type(v) is dict and depth:
        return sha(*sorted(sha(k.encode()) + vhash(x, depth - 1) for k, x in v.items()))
    if type(v) is list and depth:
        return sha(*(vhash(x, depth - 1) for x in v))
    need(type(v) in (bytes, str) or type(v) is int and 0 <= v < 1 << 64, "not a value, or nested too deep")
    return sha(leb(v) if type(v) is int else v if type(v) is bytes else v.encode())

def decode(raw, kind="any", state=False, many=False):
    """The library reads; writing again must give the same bytes. `state`: the network's own, with keys in any order."""
    raw = raw.removeprefix(b"\xd9\xd9\xf7" if state else b"")
    values = cbor2.loads(b"\x9f" + raw + b"\xff")
    vhash(values, 151 if state else 17)
    again = b"".join(cbor2.dumps(v, canonical=not state) for v in values)
    need(again == raw and (many or len(values) == 1), "not the deterministic encoding, or bytes follow")
    return values if many else of(values[0], kind)

# --- kinds: number or blob with least and most, test, or pattern of a text's UTF-8 bytes; and maps by their fields, of
# the kind behind the colon or of their own name. `?` is behind what may be absent, `*` behind the kind in an array
KINDS = {name: kind for names, kind in {
    "n have index size version policy ts claimed_ts step": (int, 0, 1 << 64), "attempt": (int, 1, 1 << 64),
    "proto": (int, 1, 1), "zero": (int, 0, 0), "undo": (int, 0, 1), "approvals": (int, 0, 64), "weight": (int, 0, 100),
    "blob certificate hash_tree subnet_id": (bytes, 0, 1 << 64), "principal owner caller": (bytes, 0, 29),
    "definition graph params outputs hash offered digest phash rules release identity evidence": (bytes, 32, 32),
    "signature": (bytes, 48, 48), "any tree": lambda v: True, "none": lambda v: False, "btype": lambda v: v in BODIES,
    "pair": lambda v: len(of(v, "blob*")) == 2, "id": lambda v: principal(v) is not None,
    "key": lambda v: G2Point.from_compressed_bytes(bytes.fromhex(of(v, "der"))[37:]),
    "der": "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100(?!c0)([0-9a-f]{2}){96}",
    "name image repo ref commit": ".*", "some": ".+", "reason": ".{1,64}", "by window": ".{1,1024}",
    "asker": ".{0,1024}", "run promotion decision from": "[A-Za-z0-9-]{1,64}", "verb": "[A-Za-z]{1,64}",
    "stage analysis": "(?!.*([\0-\x1f\x7f]|\xc2[\x80-\x9f])).{1,253}", "hex": "([0-9a-f]{2})*",
    "domain project": "|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "place": "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
    "sha256": "[0-9a-f]{64}", "role": "owner|operator"}.items() for name in names.split()}
RUNS = {"dcanary_" + name: "run n " + fields for name, fields in {
    "run_opened": "name definition graph params source?", "stage_started": "stage attempt image",
    "stage_succeeded": "stage attempt outputs artifacts:artifact*?", "stage_failed": "stage attempt reason",
    "stage_retried": "stage attempt reason", "stage_disputed": "stage attempt reason",
    "stage_skipped": "stage reason:condition|needs|results|ended", "stage_cancelled": "stage reason",
    "run_finished": "outcome:succeeded|failed|cancelled|timed_out", "record_refused": "hash reason"}.items()}
ENVIRONMENTS = {"dcanary_" + name: "run n " + fields for name, fields in {
    "env_opened": "name from? approvals rules", "env_changed": "from? approvals rules", "env_closed": "",
    "deploy_requested": "promotion release identity by:asker undo", "decided": "promotion? decision verb by identity?",
    "deploy_started": "promotion", "step_reached": "promotion step weight", "aborted": "promotion reason",
    "analysis_verdict": "promotion analysis verdict:passed|failed|inconclusive evidence",
    "promoted": "promotion identity evidence?", "rolled_back": "promotion identity to:hash? reason evidence?",
    "held": "identity reason decision?", "released": "identity decision", "frozen": "promotion window",
    "overridden": "promotion decision by", "record_refused": "hash reason"}.items()}
RECORDS = RUNS | ENVIRONMENTS
BODIES = RECORDS | {
    "dcanary_ledger_opened": "owner incarnation:zero", "dcanary_ledger_restored": "incarnation:attempt",
    "dcanary_role_granted": "principal role domain", "dcanary_role_revoked": "principal role domain",
    "dcanary_conflict": "run n have offered"}
MAPS = BODIES | {
    "block": "btype phash? ts claimed_ts caller project domain policy proto body:any", "source": "repo ref? commit",
    "artifact": "name digest size", "granted": "principal role project domain", "policies": "version roles:granted*",
    "graphs": "v:proto stages:any*", "state": "tree signature delegation?", "delegation": "subnet_id certificate",
    "header": "format:dcanary-export/1 ledger:principal size:attempt", "proved": "index block:hex proof:sha256*",
    "trailer": "certificate hash_tree policy:blob code:blob?", "writer": "owner:some domain:place principal:id",
    "proofs": "format:dcanary-(run|environment)/1 ledger:hex root_key:hex? certificate:hex hash_tree:hex policy:hex "
              "blocks:proved* graph:hex? code:hex?", "nobody": "threshold:zero keys:none*",
    "trust": "format:dcanary-trust/1 root_key:key ledger:id project:place? module_hashes:sha256* controllers:id*? "
             "domains:writer*? quorum:nobody? witnesses:nobody?"}

def of(v, kind):  # v, if it is of that kind
    rule = KINDS.get(kind, kind)
    if kind.endswith("*"):
        ok = type(v) is list and all(of(x, kind[:-1]) is x for x in v)
    elif kind in MAPS:
        fields = dict(re.findall(r"(\w+):?(\S*)", MAPS[kind]))
        ok = type(v) is dict and v.keys() <= fields.keys() and all(
            of(v[name], x.rstrip("?") or name) is v[name] for name, x in fields.items() if name in v or x[-1:] != "?")
    elif type(rule) is tuple:
        ok = type(v) is rule[0] and rule[1] <= (len(v) if type(v) is bytes else v) <= rule[2]
    elif callable(rule):
        ok = rule(v)
    else:
        ok = type(v) is str and re.fullmatch(rule, v.encode().decode("latin-1"), re.DOTALL)
    need(ok, f"{str(v)[:99]} is no {kind}")
    return v

def principal(text):  # the bytes of its text form
    letters = text.replace("-", "").upper()
    raw = base64.b32decode(letters + "=" * (-len(letters) % 8))[4:]
    again = base64.b32encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().lower().rstrip("=")
    need(re.sub("(.{5})(?=.)", r"\1-", again) == text and len(raw) < 30, "not a principal's text form")
    return raw

def trust_file(text):  # a field twice makes no map, and what is not understood is refused: it might be a demand
    return of(json.loads(text, object_pairs_hook=lambda pairs: len(dict(pairs)) == len(pairs) and dict(pairs)), "trust")

def block(v):  # the body of a block (sections 2 and 3)
    body = of(of(v, "block")["body"], v["btype"])
    domain, scoped = body.get("domain", v["domain"]), "run" in body or body.get("role") == "operator"
    fits = bool(v["project"]) == bool(domain) == scoped and ("role" not in body or not v["domain"])
    need(fits and len(cbor2.dumps(body)) <= 2048, "project or domain do not fit the type, or the body is too long")
    need(v["ts"] == v["claimed_ts"] or v["btype"] in RECORDS, "two times in a block of the canister itself")
    return body

# --- documents and evidence (sections 4, 5, 7 and 8)
def graph_document(raw):  # {stage: (needs, highest attempt, flags)}
    stages, graph = decode(raw, "graphs")["stages"], {}
    for i, (name, needs, attempts, flags, gates) in enumerate(stages):
        need(of(needs, "n*") == sorted(set(needs)) and flags in range(4) and not (needs and flags & 2), f"stage {i}")
        need(gates == [] and all(x < i and not stages[x][3] & 2 for x in needs), f"needs of stage {i}")
        graph[of(name, "stage")] = [stages[x][0] for x in needs], of(attempts, "attempt"), flags
    need(len(graph) == len(stages) and len(raw) <= 32768, "a stage twice, or too long")
    return graph

def policy_document(raw):  # (version, {(project, principal, role, domain)})
    document = decode(raw, "policies")
    roles = [(x["project"], x["principal"], x["role"], x["domain"]) for x in document["roles"]]
    fit = all(bool(project) == bool(domain) == (role == "operator") for project, _, role, domain in roles)
    need(fit and all(a[:3] < b[:3] for a, b in zip(roles, roles[1:])), "roles that do not fit, or out of order")
    return document["version"], set(roles)

def tree(t, pruned=True):
    """(digest, {path: leaf, or None where there is none}) of what is revealed; refuses labels out of order."""
    match t:
        case [1, left, right]:
            (a, below), (b, above) = tree(left, pruned), tree(right, pruned)
            need(() not in below | above and [*below, *above] == sorted(below | above), "labels out of order, or none")
            return sha(b"\x10ic-hashtree-fork", a, b), below | above
        case [2, bytes(label), sub]:
            digest, found = tree(sub, pruned)
            found = {(label,): None} | {(label, *path): x for path, x in found.items()}
            return sha(b"\x13ic-hashtree-labeled", label, digest), found
        case [3, bytes(data)]:
            return sha(b"\x10ic-hashtree-leaf", data), {(): data}
        case [4, bytes(digest)] if len(digest) == 32 and pruned:
            return digest, {}
    need(t == [0], "not a hash tree, or something is pruned that must not")
    return sha(b"\x11ic-hashtree-empty"), {}

def labels(raw):  # (digest, policy hash, root, size, hash of the last block) of a witness
    digest, found = tree(decode(raw, state=True), pruned=False)
    names = b"dcanary_policy dcanary_revoked dcanary_root dcanary_size last_block_hash last_block_index".split()
    need(list(found) == [(name,) for name in names], "not exactly the labels")
    policy, revoked, root, size, last, index = found.values()
    need(of([policy, revoked, root, last], "hash*") and unleb(index) + 1 == unleb(size), "index and size differ")
    return digest, policy, root, unleb(size), last

def opened(raw):  # digest, paths, signature, delegation
    c = decode(raw, "state", state=True)
    return *tree(c["tree"]), c["signature"], c.get("delegation")

def read(raw, asked):  # everything as bytes, but blocks as (index, value, inclusion proof)
    if asked:
        e = of(json.loads(raw), "proofs")
        blocks = [(x["index"], bytes.fromhex(x["block"]), [*map(bytes.fromhex, x["proof"])]) for x in e["blocks"]]
        e |= {name: bytes.fromhex(e[name]) for name in e if name not in ("format", "blocks")}
        need(e["format"] == "dcanary-run/1" or "graph" not in e, "an environment has no graph document")
    else:
        header, *blobs, trailer = decode(raw, many=True)
        need(len(of(blobs, "blob*")) == of(header, "header")["size"], "not the blocks that were announced")
        e, blocks = header | of(trailer, "trailer"), [(i, x, None) for i, x in enumerate(blobs)]
    for document in e["policy"], e.get("graph", b"\0"):
        decode(document)
    return e | {"blocks": [(i, decode(x), path) for i, x, path in blocks]}
