// A guest without any credentials: identity, token, and what a guest has not.
import assert from "node:assert/strict";
import {
  CognitoIdentityClient,
  GetCredentialsForIdentityCommand,
  GetOpenIdTokenCommand,
  InvalidIdentityPoolConfigurationException,
  InvalidParameterException,
  NotAuthorizedException,
} from "@aws-sdk/client-cognito-identity";
import { guest } from "./guide/guest.mjs";
import { verifier } from "./guide/verify.mjs";

const { pool, classicless, user } = JSON.parse(process.argv[2]);
const endpoint = process.env.AWS_ENDPOINT_URL_COGNITO_IDENTITY;
assert.equal(process.env.AWS_ACCESS_KEY_ID, undefined);

const { identity, token } = await guest(endpoint, pool);
const verify = await verifier(endpoint, pool);
const claims = await verify(token);
assert.deepEqual([claims.sub, claims.aud, claims.iss], [identity, pool, endpoint]);
assert.deepEqual(claims.amr, ["unauthenticated"]);
assert.equal(claims.exp - claims.iat, 600);

const client = new CognitoIdentityClient({ region: "us-east-1" });
await assert.rejects(client.send(new GetCredentialsForIdentityCommand({ IdentityId: identity })), (error) => {
  assert.ok(error instanceof InvalidIdentityPoolConfigurationException, `${error}`);
  assert.equal(error.message, "Invalid identity pool configuration. Check assigned IAM roles for this pool.");
  return true;
});
await assert.rejects(client.send(new GetOpenIdTokenCommand({ IdentityId: user })), (error) => {
  assert.ok(error instanceof NotAuthorizedException, `${error}`);
  assert.equal(error.message, `Access to Identity '${user}' is forbidden.`);
  return true;
});
await assert.rejects(guest(endpoint, classicless), (error) => {
  assert.ok(error instanceof InvalidParameterException, `${error}`);
  assert.equal(error.message, "Basic (classic) flow is not enabled, please use enhanced flow.");
  return true;
});

console.log(JSON.stringify({ identity }));
