// The web site that the page belongs to: the bundle of the page, and a backend that has the access key.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { build } from "esbuild";
import { tokenFor } from "./guide/backend.mjs";

const bundled = await build({
  entryPoints: ["page.mjs"],
  bundle: true,
  write: false,
  format: "esm",
  platform: "browser",
  target: "es2022",
  // esbuild does not see that the package names another main file for browsers, since it does so without an extension.
  alias: { "@aws-sdk/credential-providers": "@aws-sdk/credential-providers/dist-es/index.browser.js" },
  logLevel: "error",
});
const files = {
  "/": ["text/html; charset=utf-8", await readFile("index.html")],
  "/page.js": ["text/javascript; charset=utf-8", bundled.outputFiles[0].contents],
};

async function answer(request) {
  if (request.method === "POST" && request.url === "/token") {
    const { pool, user } = JSON.parse(await text(request));
    return ["application/json", JSON.stringify(await tokenFor(pool, user))];
  }
  return files[request.url];
}

/** Serves the site on a free port of this machine; gives the port. */
export async function serve() {
  const server = createServer(async (request, response) => {
    try {
      const [type, content] = (await answer(request)) ?? [];
      response.writeHead(type ? 200 : 404, { "Content-Type": type ?? "text/plain" }).end(content);
    } catch (error) {
      response.writeHead(500, { "Content-Type": "text/plain" }).end(`${error}`);
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return server.address().port;
}
