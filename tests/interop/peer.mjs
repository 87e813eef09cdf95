// The other end of REST v3 by somebody else's HTTP Message Signatures: `node peer.mjs MODULES verify|sign`
// reads a JSON list from stdin and writes one with an answer to each of its elements.
//
// verify: {method, url, headers, content, key, keyid, alg} -> "it holds", or what is wrong
// sign:   {url, headers, content, key, keyid, alg, created} -> the headers with digest and signature
//
// A content is base64, a key PEM, all header names are lower case.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const [modules, task] = process.argv.slice(2);
const { createSigner, createVerifier, httpbis } = createRequire(`${modules}/`)("http-message-signatures");

const LABEL = "kegnet";
const TAG = "kegnet-v3";

const fields = (headers) => [
  "@method",
  "@path",
  "content-type",
  ...("content-encoding" in headers ? ["content-encoding"] : []),
  "content-digest",
];

const digest = (content) =>
  `sha-256=:${createHash("sha256").update(Buffer.from(content, "base64")).digest("base64")}:`;

async function verify({ method, url, headers, content, key, keyid, alg }) {
  if (headers["content-digest"] !== digest(content)) return "the digest is not that of the content";
  try {
    const holds = await httpbis.verifyMessage(
      {
        keyLookup: async (given) =>
          given.keyid === keyid && given.tag === TAG ? { algs: [alg], verify: createVerifier(key, alg) } : null,
        notAfter: Infinity,
        requiredFields: fields(headers),
        requiredParams: ["created", "keyid", "alg", "tag"],
      },
      { method, url, headers },
    );
    return holds ? "it holds" : "the signature does not hold";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

async function sign({ url, headers, content, key, keyid, alg, created }) {
  const complete = { ...headers, "content-digest": digest(content) };
  const signed = await httpbis.signMessage(
    {
      key: createSigner(key, alg, keyid),
      name: LABEL,
      fields: fields(complete),
      params: ["created", "keyid", "alg", "tag"],
      paramValues: { created: new Date(created * 1000), tag: TAG },
    },
    { method: "POST", url, headers: complete },
  );
  return signed.headers;
}

const tasks = { verify, sign };
console.log(JSON.stringify(await Promise.all(JSON.parse(await text(process.stdin)).map(tasks[task]))));
