// Refusals of signed calls, by their classes in the service model, and of what the model does not name.
import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-cognito-identity";
import { reason } from "./guide/refusal.mjs";
import { refused, refusedAs } from "./refused.mjs";

const { pool, provider, nobody } = JSON.parse(process.argv[2]);
const client = new sdk.CognitoIdentityClient({ region: "us-east-1" });
const signIn = (user, more = {}) =>
  client.send(
    new sdk.GetOpenIdTokenForDeveloperIdentityCommand({ IdentityPoolId: pool, Logins: { [provider]: user }, ...more }),
  );

const missing = await refusedAs(
  sdk.ResourceNotFoundException,
  `IdentityPool '${nobody}' not found.`,
  client.send(new sdk.DescribeIdentityPoolCommand({ IdentityPoolId: nobody })),
);
assert.deepEqual(reason(missing), { reason: "this account is gone", request: missing.$metadata.requestId });

const { IdentityId: alice } = await signIn("alice");
const { IdentityId: guest } = await client.send(new sdk.GetIdCommand({ IdentityPoolId: pool }));
for (const identity of [guest, (await signIn("bob")).IdentityId]) {
  await refusedAs(
    sdk.DeveloperUserAlreadyRegisteredException,
    "This developer user identifier is already registered with Cognito.",
    signIn("alice", { IdentityId: identity }),
  );
}
const mismatch = await refusedAs(
  sdk.NotAuthorizedException,
  "Logins don't match. Please include at least one valid login for this identity or identity pool.",
  signIn("carol", { IdentityId: alice }),
);
assert.equal(reason(mismatch).reason, "sign in again");
await refusedAs(
  sdk.InvalidParameterException,
  "This identity pool does not support the specified developer provider",
  signIn("alice", { Logins: { "else.example": "alice" } }),
);
await refusedAs(
  sdk.ResourceConflictException,
  "DeveloperUserIdentifier does not match the given IdentityId.",
  client.send(
    new sdk.LookupDeveloperIdentityCommand({
      IdentityPoolId: pool,
      IdentityId: guest,
      DeveloperUserIdentifier: "alice",
    }),
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
