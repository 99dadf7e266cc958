// The SDK's credential providers against a broker that issues no credentials: which error they end in.
import assert from "node:assert/strict";
import { InvalidIdentityPoolConfigurationException } from "@aws-sdk/client-cognito-identity";
import { fromCognitoIdentityPool } from "@aws-sdk/credential-providers";
import { credentials } from "./guide/user.mjs";

const { pool, user } = JSON.parse(process.argv[2]);
const provider = user
  ? credentials(process.env.AWS_ENDPOINT_URL_COGNITO_IDENTITY, user)
  : fromCognitoIdentityPool({ identityPoolId: pool, clientConfig: { region: "us-east-1" } });

await assert.rejects(provider(), (error) => {
  assert.ok(error instanceof InvalidIdentityPoolConfigurationException, `${error}`);
  assert.equal(error.name, "InvalidIdentityPoolConfigurationException");
  assert.equal(error.message, "Invalid identity pool configuration. Check assigned IAM roles for this pool.");
  return true;
});

console.log("{}");
