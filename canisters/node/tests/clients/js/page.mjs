// The checks in a browser. What they say goes to the server of the page, which has another origin than the node.

import { run } from "./checks.mjs";

const report = (body) => fetch("/report", { method: "POST", body: JSON.stringify(body) });
const lines = [];
let failed = 1;
try {
  const given = await (await fetch("/given")).json();
  failed = await run({ ...given, name: "browser" }, (line) => lines.push(line));
} catch (error) {
  lines.push(`FAIL browser: ${error.stack ?? error}`);
}
await report({ failed, lines });
