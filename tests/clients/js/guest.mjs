// A guest without any credentials: identity, token, and what a guest has not.
import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-cognito-identity";
import { guest } from "./guide/guest.mjs";
import { verifier } from "./guide/verify.mjs";
import { refusedAs } from "./refused.mjs";

const { pool, classicless, user } = JSON.parse(process.argv[2]);
const endpoint = process.env.AWS_ENDPOINT_URL_COGNITO_IDENTITY;
assert.equal(process.env.AWS_ACCESS_KEY_ID, undefined);

const { identity, token } = await guest(endpoint, pool);
const claims = await (await verifier(endpoint, pool))(token);
assert.deepEqual([claims.sub, claims.aud, claims.iss], [identity, pool, endpoint]);
assert.deepEqual(claims.amr, ["unauthenticated"]);
assert.equal(claims.exp - claims.iat, 600);

const client = new sdk.CognitoIdentityClient({ region: "us-east-1" });
await refusedAs(
  sdk.InvalidIdentityPoolConfigurationException,
  "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
  client.send(new sdk.GetCredentialsForIdentityCommand({ IdentityId: identity })),
);
await refusedAs(
  sdk.NotAuthorizedException,
  `Access to Identity '${user}' is forbidden.`,
  client.send(new sdk.GetOpenIdTokenCommand({ IdentityId: user })),
);
await refusedAs(
  sdk.InvalidParameterException,
  "Basic (classic) flow is not enabled, please use enhanced flow.",
  guest(endpoint, classicless),
);

console.log(JSON.stringify({ identity }));
