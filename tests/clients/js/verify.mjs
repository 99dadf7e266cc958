// The guide's verifier: takes the tokens given, and none of another pool, another issuer, or changed.
import assert from "node:assert/strict";
import { errors } from "jose";
import { tokenFor } from "./guide/backend.mjs";
import { verifier } from "./guide/verify.mjs";

const { pool, other, tokens } = JSON.parse(process.argv[2]);
const issuer = process.env.AWS_ENDPOINT_URL_COGNITO_IDENTITY;
const verify = await verifier(issuer, pool);

const own = await tokenFor(pool, "größe 字 😀");
const claims = [];
for (const { identity, token } of [...tokens, own]) {
  const found = await verify(token);
  assert.equal(found.sub, identity);
  claims.push(found);
}

const { token } = own;
await assert.rejects((await verifier(issuer, other))(token), errors.JWTClaimValidationFailed);
const [head, body, signature] = token.split(".");
const changed = { ...JSON.parse(Buffer.from(body, "base64url")), sub: other };
const forged = [head, Buffer.from(JSON.stringify(changed)).toString("base64url"), signature].join(".");
await assert.rejects(verify(forged), errors.JWSSignatureVerificationFailed);

console.log(JSON.stringify({ claims }));
