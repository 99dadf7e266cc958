// A backend's day with developer users, by the SDK: signed calls, names in every script, merging and unlinking.
import assert from "node:assert/strict";
import {
  CognitoIdentityClient,
  CreateIdentityPoolCommand,
  DescribeIdentityCommand,
  GetOpenIdTokenForDeveloperIdentityCommand,
  ListIdentitiesCommand,
  LookupDeveloperIdentityCommand,
  MergeDeveloperIdentitiesCommand,
  UnlinkDeveloperIdentityCommand,
} from "@aws-sdk/client-cognito-identity";

const { provider, users } = JSON.parse(process.argv[2]);
const client = new CognitoIdentityClient({ region: "us-east-1" });
const send = (Command, input) => client.send(new Command(input));

const settings = {
  IdentityPoolName: "from JavaScript",
  AllowUnauthenticatedIdentities: false,
  DeveloperProviderName: provider,
};
const { IdentityPoolId, $metadata, ...made } = await send(CreateIdentityPoolCommand, {
  ...settings,
  IdentityPoolTags: { Équipe: "bleue" },
});
assert.deepEqual(made, { ...settings, IdentityPoolTags: { Équipe: "bleue" } });
assert.equal($metadata.httpStatusCode, 200);
assert.match($metadata.requestId, /^[0-9a-f-]{36}$/);

const signIn = (user, more = {}) =>
  send(GetOpenIdTokenForDeveloperIdentityCommand, { IdentityPoolId, Logins: { [provider]: user }, ...more });

const identities = new Map();
const tokens = [];
for (const user of users) {
  const { IdentityId, Token } = await signIn(user, { TokenDuration: 300, PrincipalTags: { Équipe: user } });
  assert.equal((await signIn(user)).IdentityId, IdentityId);
  const found = await send(LookupDeveloperIdentityCommand, { IdentityPoolId, DeveloperUserIdentifier: user });
  assert.deepEqual([found.IdentityId, found.DeveloperUserIdentifierList], [IdentityId, [user]]);
  identities.set(user, IdentityId);
  tokens.push({ user, identity: IdentityId, token: Token });
}
assert.equal(new Set(identities.values()).size, users.length);

const listed = async () => {
  const found = [];
  let NextToken;
  do {
    const page = await send(ListIdentitiesCommand, { IdentityPoolId, MaxResults: 2, NextToken });
    found.push(...page.Identities);
    NextToken = page.NextToken;
  } while (NextToken);
  return found;
};
const shown = await listed();
assert.deepEqual(shown.map((entry) => entry.IdentityId).sort(), [...identities.values()].sort());
assert.ok(shown.every((entry) => entry.CreationDate instanceof Date && Date.now() - entry.CreationDate < 60_000));

const [source, destination] = users;
const merged = await send(MergeDeveloperIdentitiesCommand, {
  IdentityPoolId,
  DeveloperProviderName: provider,
  SourceUserIdentifier: source,
  DestinationUserIdentifier: destination,
});
assert.equal(merged.IdentityId, identities.get(destination));
assert.equal((await signIn(source)).IdentityId, identities.get(destination));
const described = await send(DescribeIdentityCommand, { IdentityId: merged.IdentityId });
assert.deepEqual(described.Logins, [provider]);
assert.ok(described.LastModifiedDate instanceof Date);

const unlinked = await send(UnlinkDeveloperIdentityCommand, {
  IdentityPoolId,
  IdentityId: merged.IdentityId,
  DeveloperProviderName: provider,
  DeveloperUserIdentifier: source,
});
assert.deepEqual(Object.keys(unlinked), ["$metadata"]);
assert.ok(![...identities.values()].includes((await signIn(source)).IdentityId));
assert.equal((await listed()).length, users.length + 1);

console.log(JSON.stringify({ pool: IdentityPoolId, tokens }));
