// Drives the npm package openid-client against an issuer, as an application would. The
// test that starts it is its user's browser: what is printed as "open URL" is opened
// there, signed in and agreed to, and the answer comes back as a line of JSON: the address
// the browser was sent to, and the form that was posted there if one was.
import * as openid from 'openid-client';
import * as readline from 'node:readline';
import assert from 'node:assert/strict';

const [issuer, callback] = process.argv.slice(2);
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function open(url) {
  console.log(`open ${url.href ?? url}`);
  return JSON.parse((await lines.next()).value);
}

async function step(name, run) {
  await run();
  console.log(`done ${name}`);
}

// redirected is the answer of the authorization endpoint as openid-client wants it.
async function redirected(url) {
  const { location, form } = await open(url);
  return form === undefined ? new URL(location) : new Request(location, {
    method: 'POST', body: form, headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
}

async function register(metadata, authentication = openid.ClientSecretBasic()) {
  const config = await openid.dynamicClientRegistration(new URL(issuer), {
    client_name: 'openid-client', redirect_uris: [callback], post_logout_redirect_uris: [`${callback}/out`],
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
    scope: 'openid profile email offline_access', ...metadata,
  }, authentication);
  openid.enableNonRepudiationChecks(config); // ID tokens and UserInfo are verified with the keys of the server
  return config;
}

// signIn gets tokens by the code flow with PKCE, state and nonce.
async function signIn(config, parameters = {}, build = openid.buildAuthorizationUrl) {
  const verifier = openid.randomPKCECodeVerifier();
  const checks = { pkceCodeVerifier: verifier, expectedState: openid.randomState(), expectedNonce: openid.randomNonce(), idTokenExpected: true };
  const url = await build(config, {
    redirect_uri: callback, scope: 'openid profile email offline_access', prompt: 'consent', state: checks.expectedState, nonce: checks.expectedNonce,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...parameters,
  });
  if (parameters.max_age) checks.maxAge = parameters.max_age;
  return openid.authorizationCodeGrant(config, await redirected(url), checks);
}

async function wantUser(config, tokens) {
  const user = await openid.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  assert.equal(user.preferred_username, 'alice');
}

let config, tokens;
await step('registration', async () => {
  config = await register({ token_endpoint_auth_method: 'client_secret_basic' });
  assert.equal(config.serverMetadata().issuer, issuer);
});
await step('discovery', async () => {
  const { client_id, client_secret } = config.clientMetadata();
  const found = await openid.discovery(new URL(issuer), client_id, client_secret);
  assert.deepEqual(found.serverMetadata().authorization_endpoint, config.serverMetadata().authorization_endpoint);
});
await step('code with PKCE', async () => {
  tokens = await signIn(config, { max_age: 300 });
  await wantUser(config, tokens);
});
await step('form_post', async () => wantUser(config, await signIn(config, { response_mode: 'form_post' })));
await step('refresh', async () => {
  const before = tokens.claims();
  tokens = await openid.refreshTokenGrant(config, tokens.refresh_token);
  assert.equal(tokens.claims().sub, before.sub);
  assert.equal(tokens.claims().auth_time, before.auth_time);
  await wantUser(config, tokens);
});
await step('introspection and revocation', async () => {
  assert.equal((await openid.tokenIntrospection(config, tokens.access_token)).active, true);
  await openid.tokenRevocation(config, tokens.refresh_token);
  assert.equal((await openid.tokenIntrospection(config, tokens.access_token)).active, false);
  await assert.rejects(openid.refreshTokenGrant(config, tokens.refresh_token), { error: 'invalid_grant' });
});
await step('logout', async () => {
  tokens = await signIn(config);
  const { location } = await open(openid.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: `${callback}/out`, state: 'bye' }));
  assert.equal(location, `${callback}/out?state=bye`);
});
await step('client_secret_post', async () => {
  const other = await register({ token_endpoint_auth_method: 'client_secret_post' }, openid.ClientSecretPost());
  await wantUser(other, await signIn(other));
});
await step('client_secret_jwt', async () => {
  const other = await register({ token_endpoint_auth_method: 'client_secret_jwt' }, openid.ClientSecretJwt());
  await wantUser(other, await signIn(other));
});
await step('public client', async () => {
  const other = await register({ token_endpoint_auth_method: 'none' }, openid.None());
  await wantUser(other, await signIn(other));
});
await step('private_key_jwt, request object, signed UserInfo, pairwise subject', async () => {
  const { publicKey, privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const jwk = { ...await crypto.subtle.exportKey('jwk', publicKey), kid: 'key-1', use: 'sig', alg: 'ES256' };
  const key = { key: privateKey, kid: 'key-1' };
  const other = await register({
    token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] }, request_object_signing_alg: 'ES256', require_signed_request_object: true,
    userinfo_signed_response_alg: 'RS256', subject_type: 'pairwise',
  }, openid.PrivateKeyJwt(key));
  const signed = await signIn(other, {}, (config, parameters) => openid.buildAuthorizationUrlWithJAR(config, parameters, key));
  await wantUser(other, signed);
  assert.notEqual(signed.claims().sub, tokens.claims().sub);
});
for (const alg of (config.serverMetadata().id_token_signing_alg_values_supported)) {
  await step(`ID token signed by ${alg}`, async () => {
    const other = await register({ id_token_signed_response_alg: alg, userinfo_signed_response_alg: alg });
    await wantUser(other, await signIn(other));
  });
}
await step('encrypted ID token and UserInfo', async () => {
  const { publicKey, privateKey } = await crypto.subtle.generateKey(
    { name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }, true, ['encrypt', 'decrypt']);
  const jwk = { ...await crypto.subtle.exportKey('jwk', publicKey), kid: 'enc-1', use: 'enc', alg: 'RSA-OAEP-256' };
  delete jwk.key_ops;
  const other = await register({
    jwks: { keys: [jwk] }, userinfo_signed_response_alg: 'ES256',
    id_token_encrypted_response_alg: 'RSA-OAEP-256', id_token_encrypted_response_enc: 'A256GCM',
    userinfo_encrypted_response_alg: 'RSA-OAEP-256', userinfo_encrypted_response_enc: 'A256GCM',
  });
  openid.enableDecryptingResponses(other, ['A256GCM'], { key: privateKey, alg: 'RSA-OAEP-256', kid: 'enc-1' });
  const encrypted = await signIn(other);
  assert.equal(encrypted.id_token.split('.').length, 5);
  await wantUser(other, encrypted);
});
await step('code id_token', async () => {
  const other = await register({ grant_types: ['authorization_code', 'implicit', 'refresh_token'], response_types: ['code id_token'] });
  openid.useCodeIdTokenResponseType(other);
  await wantUser(other, await signIn(other, { response_mode: 'form_post' }));
});
await step('id_token', async () => {
  const other = await register({ grant_types: ['implicit'], response_types: ['id_token'] });
  openid.useIdTokenResponseType(other);
  const nonce = openid.randomNonce(), state = openid.randomState();
  const url = openid.buildAuthorizationUrl(other, { redirect_uri: callback, scope: 'openid profile', nonce, state });
  const claims = await openid.implicitAuthentication(other, await redirected(url), nonce, { expectedState: state });
  assert.equal(claims.preferred_username, 'alice'); // without an access token they stand in the ID token
});
process.exit(0);
