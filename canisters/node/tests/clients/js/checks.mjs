// What agent-js is asked to do with the node, with all of its verification on. Runs under Node and in a browser.

import { Actor, AnonymousIdentity, CanisterStatus, Certificate, HttpAgent, IC_ROOT_KEY } from "@icp-sdk/core/agent";
import { IDL } from "@icp-sdk/core/candid";
import {
  DelegationChain,
  DelegationIdentity,
  ECDSAKeyIdentity,
  Ed25519KeyIdentity,
} from "@icp-sdk/core/identity";
import { Secp256k1KeyIdentity } from "@icp-sdk/core/identity/secp256k1";
import { Principal } from "@icp-sdk/core/principal";

const MINUTE = 60_000;
const MANAGEMENT = Principal.managementCanister();

/** The identity that owns the journal canister of the checks: its seed is no secret, its network is gone in a minute. */
export const owner = () => Ed25519KeyIdentity.generate(new Uint8Array(32).fill(7));

export const fromHex = (text) => Uint8Array.from(text.match(/../g), (byte) => parseInt(byte, 16));
export const toHex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** The part of the journal canister's interface that is called. */
const journal = () => {
  const RoleArg = IDL.Record({ principal: IDL.Principal, role: IDL.Text, project: IDL.Text, domain: IDL.Text });
  const RoleError = IDL.Variant({
    NotAuthorised: IDL.Null,
    Malformed: IDL.Record({ reason: IDL.Text }),
    OtherDomain: IDL.Record({ have: IDL.Text }),
    LastOwner: IDL.Null,
    TooManyRoles: IDL.Record({ limit: IDL.Nat64 }),
    JournalFull: IDL.Null,
  });
  const RoleResult = IDL.Variant({
    Ok: IDL.Record({ version: IDL.Nat64, block: IDL.Opt(IDL.Nat64) }),
    Err: RoleError,
  });
  return IDL.Service({
    grant_role: IDL.Func([RoleArg], [RoleResult], []),
    stats: IDL.Func([], [IDL.Record({ blocks: IDL.Nat64, incarnation: IDL.Nat64 })], ["query"]),
    icrc3_get_tip_certificate: IDL.Func(
      [],
      [IDL.Opt(IDL.Record({ certificate: IDL.Vec(IDL.Nat8), hash_tree: IDL.Vec(IDL.Nat8) }))],
      ["query"],
    ),
  });
};

const assert = (condition, what) => {
  if (!condition) throw new Error(what);
};

/** The error that a promise must end with. */
const refused = async (promise, pattern) => {
  let value;
  try {
    value = await promise;
  } catch (error) {
    const text = `${error.name} ${error.message} ${error.cause ?? ""}`;
    assert(pattern.test(text), `refused for another reason: ${text}`);
    return;
  }
  throw new Error(`it was accepted: ${JSON.stringify(value, (_, field) => (typeof field === "bigint" ? `${field}` : field))}`);
};

/** Creates an empty canister with these controllers. */
export const create = async ({ host, rootKey, controllers }) => {
  const agent = await HttpAgent.create({ host, rootKey: fromHex(rootKey), identity: owner() });
  const Settings = IDL.Record({ controllers: IDL.Opt(IDL.Vec(IDL.Principal)) });
  const Create = IDL.Record({ amount: IDL.Opt(IDL.Nat), settings: IDL.Opt(Settings) });
  const service = () =>
    IDL.Service({
      provisional_create_canister_with_cycles: IDL.Func([Create], [IDL.Record({ canister_id: IDL.Principal })], []),
    });
  const management = Actor.createActor(service, {
    agent,
    canisterId: MANAGEMENT,
    // Any canister of the network leads there.
    effectiveCanisterId: Principal.fromText("ryjl3-tyaaa-aaaaa-aaaba-cai"),
  });
  const settings = { controllers: [controllers.map((text) => Principal.fromText(text))] };
  const created = await management.provisional_create_canister_with_cycles({ amount: [], settings: [settings] });
  return created.canister_id.toText();
};

/**
 * Runs all checks; `say` gets a line for each. `name` keeps what different environments write apart.
 * @returns how many failed
 */
export const run = async ({ host, rootKey, canister, name }, say) => {
  const root = fromHex(rootKey);
  const canisterId = Principal.fromText(canister);
  const agentOf = (identity, options = {}) =>
    HttpAgent.create({ host, rootKey: root, identity, retryTimes: 0, ...options });
  const actorOf = async (identity, options) =>
    Actor.createActor(journal, { agent: await agentOf(identity, options), canisterId });
  const role = (project) => ({ principal: owner().getPrincipal(), role: "operator", project, domain: "d" });
  let failed = 0;
  const check = async (what, body) => {
    try {
      await body();
      say(`ok   ${name}: ${what}`);
    } catch (error) {
      failed += 1;
      say(`FAIL ${name}: ${what}: ${error.stack ?? error}`);
    }
  };

  // First: in a browser, agent-js remembers the keys of nodes that it has seen, whatever root key it saw them under.
  await check("another network's root key is refused, for updates, queries and read_state", async () => {
    const wrong = { rootKey: fromHex(IC_ROOT_KEY) };
    const untrusted = /Trust|[Ss]ignature|[Vv]erif/;
    const actor = await actorOf(owner(), wrong);
    await refused(actor.grant_role(role(`${name}-wrong`)), untrusted);
    await refused(actor.stats(), untrusted);
    const agent = await agentOf(owner(), wrong);
    await refused(
      agent.readState(canisterId, { paths: [[new TextEncoder().encode("time")]] }).then(({ certificate }) =>
        Certificate.create({ certificate, rootKey: agent.rootKey, principal: { canisterId } }),
      ),
      untrusted,
    );
  });

  await check("the root key can be fetched and is that of the node", async () => {
    const agent = await HttpAgent.create({ host, shouldFetchRootKey: true });
    assert(toHex(agent.rootKey) === rootKey, "another root key");
    assert((await agent.status()).replica_health_status === "healthy", "not healthy");
  });

  await check("an update changes what a query shows", async () => {
    const actor = await actorOf(owner());
    const before = await actor.stats();
    const answer = await actor.grant_role(role(`${name}-update`));
    assert("Ok" in answer && answer.Ok.block.length === 1, `refused: ${Object.keys(answer.Err ?? {})}`);
    const after = await actor.stats();
    assert(after.blocks === before.blocks + 1n, `${before.blocks} blocks, then ${after.blocks}`);
  });

  // The canister inspects messages: it is asked only when the signature is good, and takes none but its owners'.
  const inspected = /IC0406/;
  await check("an anonymous update is accepted by the node and refused by the canister", async () => {
    await refused((await actorOf(new AnonymousIdentity())).grant_role(role(`${name}-anonymous`)), inspected);
  });

  for (const [type, make] of [
    ["secp256k1", () => Secp256k1KeyIdentity.generate(new Uint8Array(32).fill(9))],
    ["P-256", () => ECDSAKeyIdentity.generate()],
  ]) {
    await check(`a request signed by ${type} is accepted by the node`, async () => {
      await refused((await actorOf(await make())).grant_role(role(`${name}-key`)), inspected);
    });
  }

  await check("a reject is told as such", async () => {
    const service = () => IDL.Service({ nothing: IDL.Func([], [], []), none: IDL.Func([], [], ["query"]) });
    const actor = Actor.createActor(service, { agent: await agentOf(owner()), canisterId });
    await refused(actor.nothing(), /IC0536|has no update method/);
    await refused(actor.none(), /IC0536|has no query method/);
  });

  const delegated = async (session, options) => {
    const chain = await DelegationChain.create(
      owner(),
      session.getPublicKey(),
      new Date(Date.now() + (options?.minutes ?? 10) * MINUTE),
      options?.targets ? { targets: options.targets } : undefined,
    );
    return DelegationIdentity.fromDelegation(session, chain);
  };

  await check("a delegated key acts as its owner", async () => {
    const identity = await delegated(Ed25519KeyIdentity.generate(), { targets: [canisterId] });
    const answer = await (await actorOf(identity)).grant_role(role(`${name}-delegated`));
    assert("Ok" in answer, "it is not the owner");
  });

  await check("a delegation through another type of key acts as its owner", async () => {
    const middle = await ECDSAKeyIdentity.generate();
    const first = await DelegationChain.create(owner(), middle.getPublicKey(), new Date(Date.now() + 10 * MINUTE));
    const session = Secp256k1KeyIdentity.generate(new Uint8Array(32).fill(11));
    const chain = await DelegationChain.create(middle, session.getPublicKey(), new Date(Date.now() + 5 * MINUTE), {
      previous: first,
    });
    const identity = DelegationIdentity.fromDelegation(session, chain);
    const answer = await (await actorOf(identity)).grant_role(role(`${name}-chain`));
    assert("Ok" in answer, "it is not the owner");
  });

  await check("a delegation for another canister is refused", async () => {
    const identity = await delegated(Ed25519KeyIdentity.generate(), {
      targets: [Principal.fromText("ryjl3-tyaaa-aaaaa-aaaba-cai")],
    });
    await refused((await actorOf(identity)).grant_role(role(`${name}-other`)), /not for canister/);
    await refused((await actorOf(identity)).stats(), /not for canister/);
  });

  await check("an expired delegation is refused", async () => {
    const identity = await delegated(Ed25519KeyIdentity.generate(), { minutes: -1 });
    await refused((await actorOf(identity)).grant_role(role(`${name}-expired`)), /expired|invalid/i);
  });

  await check("read_state shows controllers, module hash, Candid, time and the subnet", async () => {
    const status = await CanisterStatus.request({
      agent: await agentOf(owner()),
      canisterId,
      paths: ["time", "controllers", "module_hash", "candid", "subnet"],
    });
    assert(Math.abs(status.get("time") - new Date()) < MINUTE, `time ${status.get("time")}`);
    assert(status.get("controllers").length > 0, "no controllers");
    assert(/^[0-9a-f]{64}$/.test(status.get("module_hash")), `module hash ${status.get("module_hash")}`);
    assert(status.get("candid").includes("grant_role"), "no Candid");
    assert(status.get("subnet").nodeKeys.size === 1, "no node");
  });

  await check("certified data of a canister verifies", async () => {
    const [tip] = await (await actorOf(owner())).icrc3_get_tip_certificate();
    await Certificate.create({
      certificate: Uint8Array.from(tip.certificate),
      rootKey: root,
      principal: { canisterId },
    });
  });

  return failed;
};
