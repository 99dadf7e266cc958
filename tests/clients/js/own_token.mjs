// What a developer user's token proves to the broker without any credentials, and what it does not.
import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-cognito-identity";
import { fromCognitoIdentityPool } from "@aws-sdk/credential-providers";
import { decodeJwt, decodeProtectedHeader, generateKeyPair, SignJWT } from "jose";
import { refusedAs } from "./refused.mjs";

const { pool, provider, alice, bob } = JSON.parse(process.argv[2]);
const client = new sdk.CognitoIdentityClient({ region: "us-east-1" });
const own = (token) => ({ "cognito-identity.amazonaws.com": token });
const credentials = (Logins) =>
  client.send(new sdk.GetCredentialsForIdentityCommand({ IdentityId: alice.identity, Logins }));
assert.equal(process.env.AWS_ACCESS_KEY_ID, undefined);

await refusedAs(
  sdk.InvalidIdentityPoolConfigurationException,
  "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
  credentials(own(alice.token)),
);
await refusedAs(
  sdk.NotAuthorizedException,
  "Logins don't match. Please include at least one valid login for this identity or identity pool.",
  credentials(own(bob.token)),
);
const { privateKey } = await generateKeyPair("RS256");
const header = decodeProtectedHeader(alice.token);
const forged = await new SignJWT(decodeJwt(alice.token)).setProtectedHeader(header).sign(privateKey);
await refusedAs(sdk.NotAuthorizedException, "Invalid login token. Not a Cognito token.", credentials(own(forged)));
await refusedAs(
  sdk.InvalidParameterException,
  "Please provide a valid public provider.",
  credentials({ [provider]: alice.token }),
);

const notHere = "Invalid login token. Can't pass in a Cognito token.";
for (const attempt of [
  () => client.send(new sdk.GetIdCommand({ IdentityPoolId: pool, Logins: own(alice.token) })),
  () => client.send(new sdk.GetOpenIdTokenCommand({ IdentityId: alice.identity, Logins: own(alice.token) })),
  // Asks GetId first.
  fromCognitoIdentityPool({
    identityPoolId: pool,
    logins: own(alice.token),
    clientConfig: { region: "us-east-1" },
  }),
]) {
  await refusedAs(sdk.NotAuthorizedException, notHere, attempt());
}

const unlink = (LoginsToRemove) =>
  client.send(
    new sdk.UnlinkIdentityCommand({ IdentityId: alice.identity, Logins: own(alice.token), LoginsToRemove }),
  );
await refusedAs(sdk.InvalidParameterException, "Please provide a valid public provider.", unlink([provider]));
await refusedAs(sdk.NotAuthorizedException, notHere, unlink(["accounts.google.com"]));

console.log("{}");
