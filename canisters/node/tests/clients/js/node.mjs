// The checks under Node: node.mjs checks URL ROOT_KEY CANISTER; node.mjs create URL ROOT_KEY CONTROLLER…; node.mjs owner.

import { create, owner, run } from "./checks.mjs";

const [command, host, rootKey, ...rest] = process.argv.slice(2);
switch (command) {
  case "owner":
    console.log(owner().getPrincipal().toText());
    break;
  case "create":
    console.log(await create({ host, rootKey, controllers: rest }));
    break;
  case "checks":
    process.exitCode = (await run({ host, rootKey, canister: rest[0], name: "agent-js" }, console.log)) ? 1 : 0;
    break;
  default:
    throw new Error(`no such command: ${command}`);
}
