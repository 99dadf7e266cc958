// Every refusal is the SDK's own class, with the broker's text, status and request id.
import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-cognito-identity";
import { reason } from "./guide/refusal.mjs";

const { pool, provider, nobody } = JSON.parse(process.argv[2]);
const client = new sdk.CognitoIdentityClient({ region: "us-east-1" });
const signIn = (user, more = {}) =>
  client.send(
    new sdk.GetOpenIdTokenForDeveloperIdentityCommand({ IdentityPoolId: pool, Logins: { [provider]: user }, ...more }),
  );

async function refused(attempt) {
  const error = await attempt.then(
    (answer) => assert.fail(`answered: ${JSON.stringify(answer)}`),
    (error) => error,
  );
  assert.ok(error instanceof sdk.CognitoIdentityServiceException, `${error}`);
  assert.equal(error.$metadata.httpStatusCode, 400);
  assert.equal(error.$metadata.attempts, 1);
  assert.match(error.$metadata.requestId, /^[0-9a-f-]{36}$/);
  return error;
}

async function is(Exception, message, attempt) {
  const error = await refused(attempt);
  assert.ok(error instanceof Exception, `${error.name} instead of ${Exception.name}`);
  assert.deepEqual([error.name, error.message, error.$fault], [Exception.name, message, "client"]);
  return error;
}

const missing = await is(
  sdk.ResourceNotFoundException,
  `IdentityPool '${nobody}' not found.`,
  client.send(new sdk.DescribeIdentityPoolCommand({ IdentityPoolId: nobody })),
);
assert.deepEqual(reason(missing), { reason: "this account is gone", request: missing.$metadata.requestId });

const { IdentityId: alice } = await signIn("alice");
const { IdentityId: guest } = await client.send(new sdk.GetIdCommand({ IdentityPoolId: pool }));
for (const identity of [guest, (await signIn("bob")).IdentityId]) {
  await is(
    sdk.DeveloperUserAlreadyRegisteredException,
    "This developer user identifier is already registered with Cognito.",
    signIn("alice", { IdentityId: identity }),
  );
}
const mismatch = await is(
  sdk.NotAuthorizedException,
  "Logins don't match. Please include at least one valid login for this identity or identity pool.",
  signIn("carol", { IdentityId: alice }),
);
assert.equal(reason(mismatch).reason, "sign in again");
await is(
  sdk.InvalidParameterException,
  "This identity pool does not support the specified developer provider",
  signIn("alice", { Logins: { "else.example": "alice" } }),
);
await is(
  sdk.ResourceConflictException,
  "DeveloperUserIdentifier does not match the given IdentityId.",
  client.send(
    new sdk.LookupDeveloperIdentityCommand({ IdentityPoolId: pool, IdentityId: guest, DeveloperUserIdentifier: "alice" }),
  ),
);

// What the model does not name has no class of its own, but its name.
const invalid = await refused(client.send(new sdk.GetIdCommand({ IdentityPoolId: "x" })));
assert.equal(invalid.name, "ValidationException");
assert.match(invalid.message, /^1 validation error detected: Value 'x' at 'identityPoolId' failed to satisfy/);
const stranger = new sdk.CognitoIdentityClient({
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "wrong" },
});
const forged = await refused(stranger.send(new sdk.ListIdentityPoolsCommand({ MaxResults: 1 })));
assert.equal(forged.name, "InvalidSignatureException");
assert.throws(() => reason(forged), { name: "InvalidSignatureException" });

console.log("{}");
