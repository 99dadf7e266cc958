// A browser that does what lines of stdin say: each opens the page anew, calls a function of it, and reports.
import { createInterface } from "node:readline/promises";
import { chromium } from "playwright-core";
import { serve } from "./site.mjs";

const browser = await chromium.launch({
  executablePath: process.argv[2],
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    // Nothing but this machine, which is also the site of a foreign name.
    "--host-resolver-rules=MAP app.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
  ],
});
const port = await serve();

async function visit({ host, call, input }) {
  // A context has caches of its own, that of preflights among them.
  const context = await browser.newContext();
  const page = await context.newPage();
  const complaints = [];
  const requests = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(`${error}`));
  const network = await context.newCDPSession(page);
  network.on("Network.requestWillBeSent", ({ type, request }) => {
    const target = request.headers["x-amz-target"] ?? request.headers["X-Amz-Target"];
    requests.push({ type, method: request.method, url: request.url, target });
  });
  await network.send("Network.enable");
  try {
    const origin = `http://${host}:${port}`;
    await page.goto(`${origin}/`);
    const result = await page.evaluate(([name, argument]) => globalThis.page[name](argument), [call, input]);
    return { origin, result, complaints, requests };
  } catch (error) {
    return { error: `${error}`, complaints, requests };
  } finally {
    await context.close();
  }
}

console.log(JSON.stringify({ version: browser.version() }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await visit(JSON.parse(line))));
}
await browser.close();
process.exit(0);
