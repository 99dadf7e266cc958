// A relying party with aws-jwt-verify. It fetches by https only, hence the JWKS is handed to it.
import { JwtVerifier } from "aws-jwt-verify";
import { serve } from "./lines.mjs";

const { issuer, audience, expected = issuer } = JSON.parse(process.argv[2]);
const verifier = JwtVerifier.create({ issuer: expected, audience, jwksUri: `${issuer}/.well-known/jwks.json` });

await serve({
  verify: (token) => verifier.verifySync(token).sub,
  renew: (jwks) => verifier.cacheJwks(jwks),
});
