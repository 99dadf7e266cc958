// What the test's page does: the guide's files, bundled for a browser, and plain fetches beside them.
import {
  CognitoIdentityClient,
  CognitoIdentityServiceException,
  GetCredentialsForIdentityCommand,
  InvalidIdentityPoolConfigurationException,
  ListIdentityPoolsCommand,
} from "@aws-sdk/client-cognito-identity";
import { credentials } from "./guide/user.mjs";
import { guest } from "./guide/guest.mjs";
import { verifier } from "./guide/verify.mjs";

const REGION = "us-east-1";

// An error as it can be told to the driver.
async function told(attempt) {
  try {
    return { answer: await attempt };
  } catch (error) {
    return {
      name: error.name,
      message: error.message,
      status: error.$metadata?.httpStatusCode,
      requestId: error.$metadata?.requestId,
      isServiceException: error instanceof CognitoIdentityServiceException,
      isConfigurationException: error instanceof InvalidIdentityPoolConfigurationException,
    };
  }
}

globalThis.page = {
  async guest({ endpoint, pool }) {
    const { identity, token } = await guest(endpoint, pool);
    return { identity, claims: await (await verifier(endpoint, pool))(token) };
  },

  credentialsOfGuest({ endpoint, identity }) {
    const client = new CognitoIdentityClient({ region: REGION, endpoint });
    return told(client.send(new GetCredentialsForIdentityCommand({ IdentityId: identity })));
  },

  // The backend of the page's own origin says who the user is; the broker takes its word.
  async user({ endpoint, pool, user }) {
    const answer = await fetch("/token", { method: "POST", body: JSON.stringify({ pool, user }) });
    const session = await answer.json();
    const claims = await (await verifier(endpoint, pool))(session.token);
    return { identity: session.identity, claims, credentials: await told(credentials(endpoint, session)()) };
  },

  pools({ endpoint, accessKeyId, secretAccessKey }) {
    const credentials = { accessKeyId, secretAccessKey };
    const client = new CognitoIdentityClient({ region: REGION, endpoint, credentials });
    const listing = client.send(new ListIdentityPoolsCommand({ MaxResults: 60 }));
    return told(listing.then((answer) => answer.IdentityPools.map((pool) => pool.IdentityPoolId)));
  },

  // Without the SDK: what a page may read of an answer.
  async plain({ endpoint, operation, input }) {
    const target = `AWSCognitoIdentityService.${operation}`;
    const answer = await fetch(endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target },
      body: JSON.stringify(input),
    });
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.json() };
  },
};
