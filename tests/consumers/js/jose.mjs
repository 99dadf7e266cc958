// A relying party with jose, which finds the keys through discovery and keeps them for `maxAge` seconds.
import { createRemoteJWKSet, jwtVerify } from "jose";
import { serve } from "./lines.mjs";

const { issuer, audience, expected = issuer, maxAge } = JSON.parse(process.argv[2]);
const discovery = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const keys = createRemoteJWKSet(new URL(discovery.jwks_uri), { cacheMaxAge: maxAge * 1000 });

await serve({
  async verify(token) {
    const { payload } = await jwtVerify(token, keys, {
      issuer: expected,
      audience,
      algorithms: discovery.id_token_signing_alg_values_supported,
      requiredClaims: ["sub", "exp"],
    });
    return payload.sub;
  },
});
