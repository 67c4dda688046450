// Asks servers of ours by Node's https or by its fetch, as each client, and prints what became of it as JSON.
// Arguments: "https" or "fetch", a folder, then an origin for each server, such as https://localhost:8443.
import { readFileSync } from "node:fs";
import https from "node:https";

const [by, folder, ...origins] = process.argv.slice(2);
const read = (name) => readFileSync(`${folder}/${name}`);
const ca = read("web-root.pem");
const clients = { nobody: {} };
for (const name of ["frodo", "gollum", "stranger"]) {
  clients[name] = { cert: read(`${name}.pem`), key: read(`${name}.key`) };
}

function byHttps(origin, options) {
  return new Promise((resolve) => {
    const request = https.get(origin, { ca, agent: false, ...options }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => { text += part; });
      response.on("end", () => resolve({ status: response.statusCode, text }));
      response.on("error", (error) => resolve({ error: error.message, code: error.code }));
    });
    request.on("error", (error) => resolve({ error: error.message, code: error.code }));
  });
}

// The agent of the undici that is built in has no public name; the global instance, there once fetch was used, is one.
async function agentOfFetch() {
  await fetch("data:,").then((answer) => answer.text());
  return globalThis[Symbol.for("undici.globalDispatcher.1")]?.constructor;
}

async function byFetch(origin, options) {
  const Agent = await agentOfFetch();
  if (Agent === undefined) return { missing: "this Node gives no access to the agent of its fetch" };
  const dispatcher = new Agent({ connect: { ca, ...options } });
  try {
    const response = await fetch(origin, { dispatcher });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    return { error: error.message, cause: error.cause?.message, code: error.cause?.code };
  } finally {
    await dispatcher.destroy();
  }
}

// A fetch of Node 20 whose connection ends right behind its handshake now and then never settles: it is begun again.
async function byFetchAtLast(origin, options) {
  for (let attempt = 0; attempt < 4; attempt += 1) {
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, 6000); });
    const found = await Promise.race([byFetch(origin, options), late]);
    clearTimeout(timer);
    if (found !== undefined) return found;
  }
  return { error: "never settled" };
}

const seen = [];
for (const origin of origins) {
  for (const [client, options] of Object.entries(clients)) {
    seen.push({ origin, client, ...(await (by === "https" ? byHttps : byFetchAtLast)(origin, options)) });
  }
}
console.log(JSON.stringify(seen));
