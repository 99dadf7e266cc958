// A browser's or a backend's way to objects: the SDK's provider gets an identity and credentials from the broker, and the
// S3 client uses them.
import assert from "node:assert/strict";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { fromCognitoIdentity, fromCognitoIdentityPool } from "@aws-sdk/credential-providers";

const { issuer, storage, bucket, pool, user } = JSON.parse(process.argv[2]);
const region = "us-east-1";
const clientConfig = { region, endpoint: issuer };
const credentials = user
  ? fromCognitoIdentity({
      identityId: user.identity,
      logins: { "cognito-identity.amazonaws.com": user.token },
      clientConfig,
    })
  : fromCognitoIdentityPool({ identityPoolId: pool, clientConfig });

const s3 = new S3Client({ region, endpoint: storage, credentials });
await s3.send(new CreateBucketCommand({ Bucket: bucket }));
await s3.send(new PutObjectCommand({ Bucket: bucket, Key: "größe.txt", Body: "content" }));
const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: "größe.txt" }));
assert.equal(await Body.transformToString(), "content");

const { identityId, expiration } = await credentials();
console.log(JSON.stringify({ identity: identityId, lifetime: (expiration - Date.now()) / 1000 }));
