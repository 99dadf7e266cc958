// node's oidc-provider, giving out signed tokens to a client that has a secret: `node provider.js PORT ALGORITHM`.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const [port, algorithm] = process.argv.slice(2);
const key = algorithm === 'RS256' ? ['rsa', { modulusLength: 2048 }] : ['ec', { namedCurve: 'P-256' }];
const jwk = generateKeyPairSync(...key).privateKey.export({ format: 'jwk' });

const resource = 'https://api.example.com';
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [{ ...jwk, alg: algorithm, use: 'sig', kid: 'signing' }] },
  clients: [{
    client_id: 'benchmark',
    client_secret: 'the-secret-of-the-benchmark',
    id_token_signed_response_alg: algorithm,
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      getResourceServerInfo: () => ({
        scope: 'use',
        audience: resource,
        accessTokenTTL: 900,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
