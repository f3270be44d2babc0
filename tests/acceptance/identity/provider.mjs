// A real OpenID provider for tests, on loopback: the npm package oidc-provider, with the grants and
// the claims that providers of science communities have.
//
// Standard input has one JSON object a line. The first is the settings (see `Settings` below), and
// each later one is a command (see `commands` at the end). Standard output has one JSON answer for
// each line. The provider ends with its standard input, and then saves its records.

import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

console.log = console.info = console.error; // standard output belongs to the answers

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/**
 * @typedef {object} Settings
 * @property {string} modules    where npm put oidc-provider
 * @property {string} folder     has host.pem and host.key, and gets keys.json and records.json
 * @property {number} port       0: a free one, which the first answer tells
 * @property {string} path       of the issuer, such as /realms/test
 * @property {string} profile    one of PROFILES
 * @property {Object} clients    web, cli, factory: {id, secret}
 * @property {string[]} redirects  addresses that logins may return to
 * @property {Object} users      login: {name, email, email_verified, groups, roles}
 * @property {number} access_s   life of access tokens
 * @property {number} interval_s time between two polls of a device
 * @property {string} resource   audience of access tokens, if the client asks for none
 * @property {boolean} rotates   whether each refresh gives another refresh token
 */
const settings = JSON.parse((await lines.next()).value);
const require = createRequire(path.join(settings.modules, 'any.js'));
const { default: Provider, errors } = await import(pathToFileURL(require.resolve('oidc-provider')));

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const DAY_S = 86400;

const inFolder = (name) => path.join(settings.folder, name);
const nowS = () => Math.floor(Date.now() / 1000);

// ---- people, and how five kinds of providers describe them --------------------------------------

const withoutSlash = (group) => group.replace(/^\//, '');
const some = (name, groups) => (groups.length ? { [name]: groups } : {}); // no groups, no claim
const digest = (login) => crypto.createHash('sha256').update(login).digest('hex');

/**
 * `scopes` maps a scope to the claims that it asks for. `inAccessToken` is the scope that puts the
 * claims into access tokens; null: only ID tokens and userinfo have them.
 */
const PROFILES = {
  wlcg: {
    algorithm: 'ES256',
    subject: (login) => login,
    scopes: { openid: ['wlcg.ver'], 'wlcg.groups': ['wlcg.groups'], wlcg: [] },
    inAccessToken: 'wlcg.groups',
    claims: (login, person) => ({ 'wlcg.ver': '1.0', ...some('wlcg.groups', person.groups) }),
  },
  iam: {
    algorithm: 'RS256',
    subject: (login) => login,
    scopes: { profile: ['groups', 'organisation_name', 'preferred_username'] },
    inAccessToken: null,
    claims: (login, person) => ({
      organisation_name: 'test',
      preferred_username: login,
      ...some('groups', person.groups.map(withoutSlash)),
    }),
  },
  keycloak: {
    algorithm: 'RS256',
    subject: (login) => login,
    scopes: { openid: ['groups', 'realm_access'], profile: ['preferred_username'] },
    inAccessToken: 'openid',
    claims: (login, person) => ({
      preferred_username: login,
      groups: person.groups,
      realm_access: { roles: person.roles },
    }),
  },
  egi: {
    algorithm: 'RS256',
    subject: (login) => `${digest(login)}@egi.example.org`,
    scopes: {
      eduperson_entitlement: ['eduperson_entitlement'],
      entitlements: ['entitlements'],
      voperson_id: ['voperson_id'],
    },
    inAccessToken: null,
    claims: (login, person) => {
      const urns = person.groups.map((group) => {
        const name = withoutSlash(group).replaceAll('/', ':');
        return `urn:mace:egi.eu:group:${name}:role=member#aai.egi.eu`;
      });
      return {
        voperson_id: `${digest(login)}@egi.example.org`,
        ...some('eduperson_entitlement', urns),
        ...some('entitlements', urns),
      };
    },
  },
  cilogon: {
    algorithm: 'RS256',
    subject: (login) => `http://cilogon.example.org/serverT/users/${login}`,
    scopes: { profile: ['isMemberOf', 'eppn'], 'org.cilogon.userinfo': ['isMemberOf', 'eppn'] },
    inAccessToken: null,
    claims: (login, person) => ({
      eppn: `${login}@example.org`,
      ...some('isMemberOf', person.groups.map(withoutSlash)),
    }),
  },
};

const profile = PROFILES[settings.profile];
const OPENID_SCOPES = [
  ...new Set(['openid', 'offline_access', 'profile', 'email', ...Object.keys(profile.scopes)]),
];
const CAPABILITIES = [
  ...['read', 'modify', 'create', 'cancel'].map((right) => `compute.${right}`),
  ...['read', 'create', 'modify', 'stage', 'poll'].map((right) => `storage.${right}:/`),
];
const CLAIMS = { ...profile.scopes };
CLAIMS.openid = ['sub', ...(profile.scopes.openid ?? [])];
CLAIMS.profile = ['name', ...(profile.scopes.profile ?? [])];
CLAIMS.email = ['email', 'email_verified'];

/** Return the login of a subject, or undefined if nobody has it. */
const loginOf = (subject) =>
  Object.keys(settings.users).find((login) => profile.subject(login) === subject);

/** Return all claims about a person. */
function claimsOf(login) {
  const person = settings.users[login];
  return {
    sub: profile.subject(login),
    name: person.name,
    email: person.email,
    email_verified: person.email_verified,
    ...profile.claims(login, person),
  };
}

/** Return the claims that these scopes ask for. */
function claimsFor(login, scopes) {
  const wanted = new Set(scopes.flatMap((scope) => CLAIMS[scope] ?? []));
  return Object.fromEntries(Object.entries(claimsOf(login)).filter(([name]) => wanted.has(name)));
}

// ---- keys, and tokens of any content ------------------------------------------------------------

const newKey = (alg, type, options) => ({
  ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  alg,
  use: 'sig',
  kid: crypto.randomBytes(6).toString('hex'),
});

const newKeys = () => [
  newKey('ES256', 'ec', { namedCurve: 'P-256' }),
  newKey('RS256', 'rsa', { modulusLength: 2048 }),
];

function storeKeys(made) {
  fs.writeFileSync(inFolder('keys.json'), JSON.stringify(made), { mode: 0o600 });
  return made;
}

let keys = fs.existsSync(inFolder('keys.json'))
  ? JSON.parse(fs.readFileSync(inFolder('keys.json')))
  : storeKeys(newKeys());

const encoded = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
const decoded = (part) => JSON.parse(Buffer.from(part, 'base64url'));
const withoutNulls = (given) =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null));

/** Sign a token with a header and claims of any kind. null takes away a default. */
function mint(header, claims) {
  const wanted = header.alg ?? profile.algorithm;
  const key = keys.find(({ alg }) => alg === wanted) ?? keys[0];
  const head = { alg: wanted, typ: 'at+jwt', kid: key.kid, ...header };
  const body = {
    iss: issuer,
    aud: settings.resource,
    iat: nowS(),
    nbf: nowS(),
    exp: nowS() + settings.access_s,
    jti: crypto.randomUUID(),
    ...(settings.profile === 'wlcg' ? { 'wlcg.ver': '1.0' } : {}),
    ...claims,
  };
  const input = `${encoded(withoutNulls(head))}.${encoded(withoutNulls(body))}`;
  const signer = crypto.createPrivateKey({ key, format: 'jwk' });
  const signature = crypto.sign('sha256', Buffer.from(input), {
    key: signer,
    dsaEncoding: 'ieee-p1363',
  });
  return `${input}.${signature.toString('base64url')}`;
}

/** Return the claims of an access token of ours, or undefined if it is not valid. */
function verified(token) {
  try {
    const [header, body, signature] = String(token).split('.');
    const key = keys.find(({ kid }) => kid === decoded(header).kid);
    const checker = crypto.createPublicKey({ key, format: 'jwk' });
    const isOurs = crypto.verify(
      'sha256',
      Buffer.from(`${header}.${body}`),
      { key: checker, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    const claims = decoded(body);
    return isOurs && claims.exp > nowS() ? claims : undefined;
  } catch {
    return undefined; // it is no token at all
  }
}

// ---- records: grants, tokens and sessions, which outlive a restart ------------------------------

const records = new Map(
  fs.existsSync(inFolder('records.json'))
    ? JSON.parse(fs.readFileSync(inFolder('records.json')))
    : [],
);

const saveRecords = () =>
  fs.writeFileSync(inFolder('records.json'), JSON.stringify([...records]), { mode: 0o600 });

/** All records of one kind, in the form that oidc-provider asks for. */
class Records {
  constructor(kind) {
    this.kind = kind;
  }

  async upsert(id, payload) {
    records.set(`${this.kind}:${id}`, payload);
  }

  async find(id) {
    return records.get(`${this.kind}:${id}`);
  }

  async findByUid(uid) {
    return this.#first((payload) => payload.uid === uid);
  }

  async findByUserCode(userCode) {
    return this.#first((payload) => payload.userCode === userCode);
  }

  async consume(id) {
    records.get(`${this.kind}:${id}`).consumed = nowS();
  }

  async destroy(id) {
    records.delete(`${this.kind}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of records) {
      if (payload.grantId === grantId && key.startsWith(`${this.kind}:`)) records.delete(key);
    }
  }

  #first(fits) {
    for (const [key, payload] of records) {
      if (key.startsWith(`${this.kind}:`) && fits(payload)) return payload;
    }
    return undefined;
  }
}

// ---- the provider -------------------------------------------------------------------------------

const client = (id, secret, grants, redirects) => ({
  client_id: id,
  ...(secret
    ? { client_secret: secret }
    : { token_endpoint_auth_method: 'none', application_type: 'native' }),
  grant_types: grants,
  redirect_uris: redirects,
  response_types: redirects.length ? ['code'] : [],
  id_token_signed_response_alg: profile.algorithm,
});

function clients() {
  const { web, cli, factory } = settings.clients;
  const login = ['authorization_code', 'refresh_token', DEVICE];
  return [
    client(web.id, web.secret, [...login, EXCHANGE], settings.redirects),
    client(cli.id, '', login, ['http://127.0.0.1/callback']), // with any port
    client(factory.id, factory.secret, ['client_credentials', EXCHANGE], []),
  ];
}

const accessTokens = (ctx, audience) => ({
  audience,
  scope: [...OPENID_SCOPES, ...CAPABILITIES].join(' '),
  accessTokenFormat: 'jwt',
  accessTokenTTL: settings.access_s,
  jwt: { sign: { alg: profile.algorithm } },
});

/** Return the claims that an access token has beside those of the standard. */
function extraTokenClaims(ctx, { accountId: subject, scope = '' }) {
  const login = loginOf(subject);
  const hasGroups = login && scope.split(' ').includes(profile.inAccessToken);
  return {
    nbf: nowS(),
    ...(settings.profile === 'wlcg' ? { 'wlcg.ver': '1.0' } : {}),
    ...(hasGroups ? profile.claims(login, settings.users[login]) : {}),
  };
}

function findAccount(ctx, subject) {
  const login = loginOf(subject);
  return login && { accountId: subject, claims: async () => claimsOf(login) };
}

const configuration = () => ({
  adapter: Records,
  jwks: { keys },
  clients: clients(),
  scopes: [...OPENID_SCOPES, ...CAPABILITIES],
  claims: CLAIMS,
  conformIdTokenClaims: false, // ID tokens have the claims too, not userinfo alone
  cookies: { keys: ['of tests'] },
  enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
  pkce: { required: () => true },
  rotateRefreshToken: () => settings.rotates,
  issueRefreshToken: async (ctx, asking, code) =>
    asking.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  ttl: {
    AccessToken: settings.access_s,
    ClientCredentials: settings.access_s,
    DeviceCode: 600,
    Grant: 30 * DAY_S,
    IdToken: 3600,
    Interaction: 3600,
    RefreshToken: 30 * DAY_S,
    Session: DAY_S,
  },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, asking, oneOf) => oneOf ?? settings.resource,
      useGrantedResource: () => true,
      getResourceServerInfo: accessTokens,
    },
  },
  extraTokenClaims,
  findAccount,
  interactions: { url: (ctx, { uid }) => `${settings.path}/interaction/${uid}` },
});

const page = (address, title, body) => `<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1>
<form method="post" action="${address}">${body}<button type="submit">Continue</button></form>
<a href="${address}/cancel">[ Cancel ]</a></body></html>`;

const loginFields = (problem) => `<p>${problem}</p>
<input type="hidden" name="prompt" value="login"><input type="text" name="login" value="">
<input type="password" name="password" value="">`;

const consentFields = (id, scope) => `<p>${id} wants to know: ${scope}</p>
<input type="hidden" name="prompt" value="consent">`;

async function sentForm(req) {
  const chunks = await req.toArray();
  return Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
}

/** Return the id of a grant of all that the client asks for and does not have yet. */
async function granted(provider, { grantId, session, params, prompt: { details } }) {
  const { accountId } = session;
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope((details.missingOIDCScope ?? []).join(' '));
  grant.addOIDCClaims(details.missingOIDCClaims ?? []);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return grant.save();
}

/** The pages of a login: who is the person, and may the client know it. */
const interactions = (provider) => async (ctx, next) => {
  const [, uid, cancels] = /^\/interaction\/([\w-]+)(\/cancel)?$/.exec(ctx.path) ?? [];
  if (!uid) return next();
  const asked = await provider.interactionDetails(ctx.req, ctx.res);
  const finish = (result) =>
    provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
  const address = `${settings.path}/interaction/${uid}`;
  const isLogin = asked.prompt.name === 'login';
  ctx.type = 'html';
  if (cancels) return finish({ error: 'access_denied', error_description: 'the person cancelled' });
  if (ctx.method !== 'POST') {
    const { client_id: id, scope } = asked.params;
    const fields = isLogin ? loginFields('Any password is right.') : consentFields(id, scope);
    ctx.body = page(address, isLogin ? 'Log in' : 'Consent', fields);
    return undefined;
  }
  if (!isLogin) return finish({ consent: { grantId: await granted(provider, asked) } });
  const { login } = await sentForm(ctx.req);
  if (Object.hasOwn(settings.users, login)) {
    return finish({ login: { accountId: profile.subject(login) } });
  }
  ctx.body = page(address, 'Log in', loginFields('This login is unknown.'));
  return undefined;
};

/** Whether a capability lies within one of others: storage.read:/a/b within storage.read:/a. */
const isWithin = (scope, others) =>
  !scope.includes('..') &&
  others.some((other) => {
    const [right, folder] = other.split(':');
    return (
      scope === other ||
      (folder && scope.startsWith(`${right}:${folder.endsWith('/') ? folder : `${folder}/`}`))
    );
  });

/** RFC 8693: another audience for the same subject, and no wider scope. */
async function exchange(ctx) {
  const { subject_token: token, audience = settings.resource } = ctx.oidc.params;
  const claims = verified(token);
  if (!claims) throw new errors.InvalidGrant('the subject_token is not valid');
  const had = (claims.scope ?? '').split(' ');
  const scope = ctx.oidc.params.scope ?? claims.scope ?? '';
  if (!scope.split(' ').every((one) => isWithin(one, had))) {
    throw new errors.InvalidScope('the subject_token has less', scope);
  }
  const actor = { sub: ctx.oidc.client.clientId };
  ctx.body = {
    access_token: mint({}, { sub: claims.sub, aud: audience, scope, act: actor }),
    issued_token_type: ACCESS_TOKEN,
    token_type: 'Bearer',
    expires_in: settings.access_s,
    scope,
  };
}

/** Note who asked for what: tests count that. */
async function noted(ctx, next) {
  await next();
  ctx.req.entry.grant = ctx.oidc?.params?.grant_type ?? '';
  ctx.req.entry.client = ctx.oidc?.client?.clientId ?? '';
}

/** Give userinfo for access tokens with an audience too, as providers do except oidc-provider. */
async function userinfo(ctx, next) {
  const claims = ctx.path === '/me' && verified(ctx.get('authorization').replace(/^Bearer /i, ''));
  const login = claims && loginOf(claims.sub);
  const scopes = (claims?.scope ?? '').split(' ');
  if (login && scopes.includes('openid')) ctx.body = claimsFor(login, scopes);
  else await next();
}

/** Say how often a device may poll: oidc-provider leaves it at 5 s. */
async function interval(ctx, next) {
  await next();
  if (ctx.oidc?.route === 'device_authorization' && ctx.status === 200) {
    ctx.body = { ...ctx.body, interval: settings.interval_s };
  }
}

function built() {
  const provider = new Provider(issuer, configuration());
  provider.registerGrantType(
    EXCHANGE,
    exchange,
    ['subject_token', 'subject_token_type', 'scope', 'audience', 'requested_token_type'],
    ['audience'],
  );
  provider.use(noted);
  provider.use(userinfo);
  provider.use(interactions(provider));
  provider.use(interval);
  provider.on('server_error', (ctx, error) => console.error(error));
  return provider.callback();
}

// ---- the server, and how it is away -------------------------------------------------------------

const requests = [];
let away = ''; // or hang, error, refuse
let issuer;
let answer;

const tls = {
  key: fs.readFileSync(inFolder('host.key')),
  cert: fs.readFileSync(inFolder('host.pem')),
};
const server = https.createServer(tls, (req, res) => {
  const [address] = req.url.split('?');
  req.entry = { method: req.method, path: address, status: 0, grant: '', client: '' };
  requests.push(req.entry);
  res.on('finish', () => {
    req.entry.status = res.statusCode;
  });
  if (away === 'hang') return;
  if (away === 'error') {
    res.writeHead(503).end('away');
  } else if (address.startsWith(`${settings.path}/`)) {
    req.originalUrl = req.url;
    req.url = req.url.slice(settings.path.length);
    answer(req, res);
  } else {
    res.writeHead(404).end();
  }
});

const listen = (port) => new Promise((done) => server.listen(port, '127.0.0.1', done));

const commands = {
  mint: ({ header, claims }) => mint(header, claims),
  rotate: ({ withdraw }) => {
    keys = storeKeys([...newKeys(), ...(withdraw ? [] : keys)]);
    answer = built();
  },
  change: ({ values }) => {
    Object.assign(settings, values);
    answer = built();
  },
  away: async ({ kind }) => {
    const wasClosed = away === 'refuse';
    away = kind;
    if (wasClosed && kind !== 'refuse') await listen(settings.port);
    if (!wasClosed && kind === 'refuse') server.close();
    server.closeAllConnections();
  },
  requests: () => requests,
  subject: ({ login }) => profile.subject(login),
};

const tell = (told) => process.stdout.write(`${JSON.stringify(told ?? null)}\n`);

await listen(settings.port);
settings.port = server.address().port;
issuer = `https://localhost:${settings.port}${settings.path}`;
answer = built();
tell({ port: settings.port });
for await (const line of lines) {
  const { command, ...given } = JSON.parse(line);
  tell(await commands[command](given));
}
saveRecords();
process.exit(0);
