// The SDK's credential providers, without any credentials before: for a guest, for a developer user, and at STS.
import assert from "node:assert/strict";
import { fromCognitoIdentityPool, fromWebToken } from "@aws-sdk/credential-providers";
import { credentials } from "./guide/user.mjs";

const { pool, user, role } = JSON.parse(process.argv[2]);
assert.equal(process.env.AWS_ACCESS_KEY_ID, undefined);
const clientConfig = { region: "us-east-1" };

const given = {
  guest: await fromCognitoIdentityPool({ identityPoolId: pool, clientConfig })(),
  user: await credentials(process.env.AWS_ENDPOINT_URL_COGNITO_IDENTITY, user)(),
  web: await fromWebToken({
    roleArn: role,
    roleSessionName: "from-web-token",
    webIdentityToken: user.token,
    clientConfig: { ...clientConfig, endpoint: process.env.AWS_ENDPOINT_URL_STS },
  })(),
};
for (const { expiration } of Object.values(given)) {
  assert.ok(expiration instanceof Date && Math.abs(expiration - Date.now() - 3_600_000) < 60_000);
}

console.log(JSON.stringify(given));
