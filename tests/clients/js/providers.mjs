// The SDK's credential providers against a broker that issues no credentials: which error they end in.
import { InvalidIdentityPoolConfigurationException } from "@aws-sdk/client-cognito-identity";
import { fromCognitoIdentityPool } from "@aws-sdk/credential-providers";
import { credentials } from "./guide/user.mjs";
import { refusedAs } from "./refused.mjs";

const { pool, user } = JSON.parse(process.argv[2]);
const provider = user
  ? credentials(process.env.AWS_ENDPOINT_URL_COGNITO_IDENTITY, user)
  : fromCognitoIdentityPool({ identityPoolId: pool, clientConfig: { region: "us-east-1" } });

await refusedAs(
  InvalidIdentityPoolConfigurationException,
  "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
  provider(),
);

console.log("{}");
