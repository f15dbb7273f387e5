// Serves the page, opens it in headless Chromium, waits for its report: browser.mjs CHROMIUM URL ROOT_KEY CANISTER BUNDLE.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PATIENCE = 180_000;
const [chromium, host, rootKey, canister, bundle] = process.argv.slice(2);
const script = await readFile(bundle);
const profile = await mkdtemp(join(tmpdir(), "dcanary-chromium-"));

let reported;
const report = new Promise((resolve) => (reported = resolve));
const server = createServer(async (request, response) => {
  const send = (type, body) => response.writeHead(200, { "content-type": type }).end(body);
  switch (request.url) {
    case "/":
      return send("text/html", '<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>');
    case "/page.js":
      return send("text/javascript", script);
    case "/given":
      return send("application/json", JSON.stringify({ host, rootKey, canister }));
    case "/report": {
      const parts = [];
      for await (const part of request) parts.push(part);
      reported(JSON.parse(Buffer.concat(parts)));
      return send("text/plain", "");
    }
    default:
      return response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = spawn(
  chromium,
  [
    "--headless=new",
    // As root, and in containers, its sandbox does not start; the page is ours.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    `--user-data-dir=${profile}`,
    `http://127.0.0.1:${server.address().port}/`,
  ],
  { stdio: "ignore", detached: true },
);
const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, undefined));
const ended = new Promise((resolve) => browser.on("error", resolve).on("exit", resolve)).then(() => undefined);
const result = await Promise.race([report, late, ended]);
try {
  // Its group: a browser is many processes.
  process.kill(-browser.pid, "SIGKILL");
} catch {
  // It has ended by itself.
}
await ended;
server.close();
await rm(profile, { recursive: true, force: true, maxRetries: 10 });
if (!result) {
  console.log("FAIL browser: it ended, or its time was up, before it reported");
  process.exit(1);
}
for (const line of result.lines) console.log(line);
process.exit(result.failed ? 1 : 0);
