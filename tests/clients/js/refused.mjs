// What a refusal must look like to a program: the SDK's own class, with the broker's text, status and request id.
import assert from "node:assert/strict";
import { CognitoIdentityServiceException } from "@aws-sdk/client-cognito-identity";

/** The error that the attempt ends in, refused by the broker at the first try. */
export async function refused(attempt) {
  const error = await attempt.then(
    (answer) => assert.fail(`answered: ${JSON.stringify(answer)}`),
    (error) => error,
  );
  assert.ok(error instanceof CognitoIdentityServiceException, `${error}`);
  assert.deepEqual([error.$metadata.httpStatusCode, error.$metadata.attempts, error.$fault], [400, 1, "client"]);
  assert.match(error.$metadata.requestId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  return error;
}

/** The error, which must be of this class of the service model and have this message. */
export async function refusedAs(Exception, message, attempt) {
  const error = await refused(attempt);
  assert.ok(error instanceof Exception, `${error.name} instead of ${Exception.name}`);
  assert.deepEqual([error.name, error.message], [Exception.name, message]);
  return error;
}
