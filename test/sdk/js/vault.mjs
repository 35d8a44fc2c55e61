// Scenarios with node-vault as a program uses it: address and token come from the
// environment. Programs that people have stand as they have them, but for the
// names of their secrets.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import readline from 'node:readline'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import vault from 'node-vault'

const canary = process.env.COUNTERSIGN_TEST_CANARY
const plant = (text) => `${canary}/${text}`

const root = vault()

// The client takes the token of each answer that has one for its own: whoever makes
// tokens for others asks with another client each time.
const admin = () => vault()

// Compares values without printing them.
function same(got, want) {
  assert.ok(got === want, 'the value is not the one that was expected')
}

// The client knows an answer that is neither 200 nor 204 by its first error, and
// one without errors by its status.
async function refused(call, status, text) {
  await assert.rejects(call, (error) => {
    assert.equal(error.response?.statusCode, status, error.message)
    assert.ok(error.message.includes(text), error.message)
    assert.ok(!JSON.stringify(error.response.body).includes(canary) && !error.stack.includes(canary), 'the error tells the value')
    return true
  })
}

// Programs that people have.

test('a program that stores and retrieves', async () => {
  const client = vault({ endpoint: process.env.VAULT_ADDR, token: process.env.VAULT_TOKEN })
  async function storeSecret(path, data) {
    await client.write(`secret/data/${path}`, { data })
  }
  async function getSecret(path) {
    const result = await client.read(`secret/data/${path}`)
    return result.data.data
  }
  await storeSecret('js-vault/database/postgres', { host: 'db.example.com', port: 5432, username: 'app', password: plant('pw'), database: 'app' })
  await storeSecret('js-vault/api-keys/external', { stripe_secret_key: plant('stripe') })
  const credentials = await getSecret('js-vault/database/postgres')
  assert.deepEqual([credentials.host, credentials.port, credentials.username, credentials.database], ['db.example.com', 5432, 'app', 'app'])
  same(credentials.password, plant('pw'))
  same((await getSecret('js-vault/api-keys/external')).stripe_secret_key, plant('stripe'))
})

test('a program that names the version of the API', async () => {
  const client = vault({ apiVersion: 'v1', endpoint: process.env.VAULT_ADDR, token: process.env.VAULT_TOKEN })
  const seen = []
  async function getSecret(path) {
    try {
      const result = await client.read(`secret/data/${path}`)
      return result.data.data
    } catch (error) {
      seen.push(error.message)
      throw error
    }
  }
  await client.write('secret/data/js-vault/myapp/config', { data: { db_password: plant('supersecret'), api_key: plant('sk') } })
  const secrets = await getSecret('js-vault/myapp/config')
  same(secrets.db_password, plant('supersecret'))
  await refused(getSecret('js-vault/myapp/none'), 404, 'Status 404')
  assert.deepEqual(seen, ['Status 404'])
})

test('a program of the time of version 1', async () => {
  const client = vault({ apiVersion: 'v1' })
  await client.write('secret/data/js-vault/my-app/database', { data: { password: plant('v1') } })
  const read = async () => {
    const secrets = await client.read('secret/js-vault/my-app/database')
    return secrets.data.password
  }
  await assert.rejects(read, (error) => {
    assert.equal(error.response.statusCode, 404)
    assert.match(error.response.body.warnings[0], /^Invalid path for a versioned K\/V secrets engine/)
    return true
  })
  // A mount can serve such a program too.
  const tune = (v1_reads) => client.write('sys/mounts/secret/tune', { options: { version: '2', v1_reads } })
  await tune('true')
  try {
    same(await read(), plant('v1'))
    await client.write('secret/js-vault/my-app/database', { password: plant('again') })
    const now = await client.read('secret/data/js-vault/my-app/database')
    same(now.data.data.password, plant('again'))
    assert.equal(now.data.metadata.version, 2)
  } finally {
    await tune('false')
  }
  await refused(read(), 404, 'Status 404')
})

test('a program that wants credentials of a database', async () => {
  await refused(root.mount({ mount_point: 'js-database', type: 'database' }), 400, 'there is no secrets engine "database" here')
  await refused(root.write('database/config/postgresql', { plugin_name: 'postgresql-database-plugin', allowed_roles: 'readonly' }), 404, 'no handler for route')
  await refused(root.generateDatabaseCredentials({ databasePath: 'database', name: 'readonly' }), 404, 'no handler for route')
})

// What the client has functions for.

test('versions', async () => {
  const id = 'js-vault/versions'
  for (const n of ['1', '2', '3']) {
    const put = await root.write(`secret/data/${id}`, { data: { v: plant(n) } })
    assert.equal(put.data.version, Number(n))
    assert.equal(put.data.destroyed, false)
  }
  const read = async (version) => (await root.read(`secret/data/${id}${version ? `?version=${version}` : ''}`)).data
  same((await read()).data.v, plant('3'))
  same((await read(1)).data.v, plant('1'))
  assert.equal(await root.delete(`secret/data/${id}`), '')
  await assert.rejects(read(), ({ response }) => {
    assert.equal(response.statusCode, 404)
    assert.equal(response.body.data.data, null)
    assert.ok(Math.abs(Date.parse(response.body.data.metadata.deletion_time) - Date.now()) < 300_000)
    return true
  })
  await root.write(`secret/undelete/${id}`, { versions: [3] })
  same((await read()).data.v, plant('3'))
  await root.write(`secret/delete/${id}`, { versions: [1, 2] })
  await refused(read(1), 404, 'Status 404')
  await root.destroySecretVersions({ path: id, versions: [1] })
  await root.write(`secret/undelete/${id}`, { versions: [1, 2] })
  await refused(read(1), 404, 'Status 404')
  same((await read(2)).data.v, plant('2'))
  const { data } = await root.read(`secret/metadata/${id}`)
  assert.deepEqual([data.current_version, Object.keys(data.versions), data.versions[1].destroyed], [3, ['1', '2', '3'], true])
  await root.write(`secret/metadata/${id}`, { custom_metadata: { owner: 'team' }, max_versions: 5, cas_required: true })
  await refused(root.write(`secret/data/${id}`, { data: { v: plant('4') } }), 400, 'check-and-set parameter required for this call')
  await refused(root.write(`secret/data/${id}`, { data: { v: plant('4') }, options: { cas: 1 } }), 400, 'check-and-set parameter did not match the current version')
  const put = await root.write(`secret/data/${id}`, { data: { v: plant('4'), more: 'x' }, options: { cas: 3 } })
  assert.deepEqual(put.data.custom_metadata, { owner: 'team' })
  const patched = await root.update(`secret/data/${id}`, { data: { more: null, v: plant('5') }, options: { cas: 4 } })
  assert.equal(patched.data.version, 5)
  assert.deepEqual(Object.keys((await read()).data), ['v'])
  await root.delete(`secret/metadata/${id}`)
  await refused(read(), 404, 'Status 404')
  await refused(root.read(`secret/metadata/${id}`), 404, 'Status 404')
})

test('lists', async () => {
  for (const name of ['b', 'a', 'dir/c']) await root.write(`secret/data/js-vault/list/${name}`, { data: { v: plant(name) } })
  assert.deepEqual((await root.list('secret/metadata/js-vault/list')).data.keys, ['a', 'b', 'dir/'])
  const plain = vault({ noCustomHTTPVerbs: true })
  assert.deepEqual((await plain.list('secret/metadata/js-vault/list/dir')).data.keys, ['c'])
  await refused(root.list('secret/metadata/js-vault/list/none'), 404, 'Status 404')
})

test('mounts, and the key-value engine of version 1', async () => {
  await root.mount({ mount_point: 'js-kv', type: 'kv', description: 'of a scenario', options: { version: '1' } })
  const all = await root.mounts()
  assert.equal(all['js-kv/'].type, 'kv')
  assert.equal(all.data['secret/'].options.version, '2')
  await root.write('js-kv/app', { password: plant('one') })
  same((await root.read('js-kv/app')).data.password, plant('one'))
  assert.deepEqual((await root.list('js-kv')).data.keys, ['app'])
  await root.remount({ from: 'js-kv', to: 'js-moved' })
  same((await root.read('js-moved/app')).data.password, plant('one'))
  await root.delete('js-moved/app')
  await refused(root.read('js-moved/app'), 404, 'Status 404')
  await root.unmount({ mount_point: 'js-moved' })
  await root.enableAuth({ mount_point: 'js-approle', type: 'approle' })
  assert.equal((await root.auths())['js-approle/'].type, 'approle')
  await root.disableAuth({ mount_point: 'js-approle' })
  assert.equal((await root.auths())['js-approle/'], undefined)
})

test('status', async () => {
  const nobody = vault({ token: ' ' })
  nobody.token = ''
  const health = await nobody.health()
  assert.deepEqual([health.initialized, health.sealed, health.standby], [true, false, false])
  assert.deepEqual((({ sealed, t, n, progress }) => [sealed, t, n, progress])(await nobody.status()), [false, 1, 1, 0])
  assert.equal((await nobody.initialized()).initialized, true)
  assert.equal((await nobody.leader()).ha_enabled, false)
  await refused(nobody.read('secret/data/js-vault/any'), 403, 'missing client token')
  nobody.token = 'hvs.nobody'
  await refused(nobody.read('secret/data/js-vault/any'), 403, 'permission denied')
})

test('policies in the JSON of IAM', async () => {
  const text = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: '*' }] })
  await root.addPolicy({ name: 'js-iam', rules: text })
  assert.equal((await root.getPolicy({ name: 'js-iam' })).rules, text)
  assert.ok((await root.policies()).policies.includes('js-iam'))
  await root.removePolicy({ name: 'js-iam' })
  await refused(root.getPolicy({ name: 'js-iam' }), 404, 'Status 404')
})

test('another account', async () => {
  await refused(vault({ namespace: '111111111111' }).read('secret/data/js-vault/any'), 403, 'permission denied')
  await refused(vault({ namespace: '000000000000' }).read('secret/data/js-vault/none'), 404, 'Status 404')
})

test('bytes and text of other fronts', async () => {
  const data = Buffer.concat([Buffer.from(canary), Buffer.from([0, 255])]).toString('base64')
  await root.write('secret/data/js-vault/binary', { data: { SecretBinary: data } })
  same((await root.read('secret/data/js-vault/binary')).data.data.SecretBinary, data)
})

// The log, as a program that reads the files of Vault's audit devices has it.

async function parseAuditLogs(filePath) {
  const seen = []
  const lines = readline.createInterface({ input: fs.createReadStream(filePath), crlfDelay: Infinity })
  for await (const line of lines) {
    const entry = JSON.parse(line)
    if (entry.type === 'response') {
      seen.push({ user: entry.auth.display_name, action: entry.request.operation, path: entry.request.path, time: new Date(entry.time) })
    }
  }
  return seen
}

test('an audit device, and a program that reads its file', async () => {
  const file = `${process.env.COUNTERSIGN_TEST_DEVICES}/js-vault.log`
  await refused(root.write('sys/audit/js-file', { type: 'file', options: { file_path: '/var/log/vault/audit.log' } }), 400, 'the path is not inside')
  await root.write('sys/audit/js-file', { type: 'file', options: { file_path: file } })
  assert.equal((await root.audits())['js-file/'].options.file_path, file)
  const { hash } = (await root.write('sys/audit-hash/js-file', { input: 'hunter2' })).data
  assert.match(hash, /^hmac-sha256:[0-9a-f]{64}$/)
  const nobody = vault({ token: 'hvs.nobody' })
  const id = 'secret/data/js-vault/audited'
  await refused(nobody.read(id), 403, 'permission denied')
  await root.write(id, { data: { v: plant('audited') } })
  await root.read(id)
  await root.delete(id)
  const wanted = (seen) => ['update', 'read', 'delete'].map((action) => seen.find((e) => e.path === id && e.action === action && e.user))
  let found = []
  for (const end = Date.now() + 15_000; Date.now() < end && !found[2]; await setTimeout(100)) {
    if (fs.existsSync(file)) found = wanted(await parseAuditLogs(file))
  }
  assert.ok(found[0] && found[1] && found[2], 'not all that was done is in the file')
  assert.ok(found.every((e) => Math.abs(e.time - Date.now()) < 300_000 && e.user.length > 0))
  const text = fs.readFileSync(file, 'utf8')
  assert.ok(!text.includes(canary) && !text.includes(process.env.VAULT_TOKEN), 'the file tells a value')
  await root.disableAudit({ name: 'js-file' })
  assert.equal((await root.audits())['js-file/'], undefined)
})

// Access, as the manuals set it up.

const policy = `
# Read-only access to application secrets
path "secret/data/js-vault/myapp/*" {
  capabilities = ["read", "list"]
}

# Full access to database secrets
path "secret/data/js-vault/databases/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

# Deny access to production secrets
path "secret/data/js-vault/production/*" {
  capabilities = ["deny"]
}
`

test('a policy, a role with it, and a login', async () => {
  await root.write('secret/data/js-vault/myapp/database', { data: { password: plant('app') } })
  await root.write('secret/data/js-vault/production/database', { data: { password: plant('production') } })
  await root.write('sys/policy/myapp-policy', { policy: policy })
  assert.equal((await root.read('sys/policy/myapp-policy')).data.rules, policy)
  await root.enableAuth({ mount_point: 'approle', type: 'approle' })
  await root.write('auth/approle/role/myapp', { policies: ['myapp-policy'], secret_id_ttl: '10m', token_ttl: '20m', token_max_ttl: '30m' })
  const role = (await root.getApproleRole({ role_name: 'myapp' })).data
  assert.deepEqual([role.token_policies, role.secret_id_ttl, role.token_ttl, role.token_max_ttl], [['myapp-policy'], 600, 1200, 1800])
  assert.deepEqual((await root.approleRoles()).data.keys, ['myapp'])

  // As a pipeline does: vault write -field=token auth/approle/login role_id=… secret_id=…
  const { role_id } = (await root.getApproleRoleId({ role_name: 'myapp' })).data
  const { secret_id, secret_id_ttl } = (await root.getApproleRoleSecret({ role_name: 'myapp' })).data
  assert.equal(secret_id_ttl, 600)
  const app = vault({ token: ' ' })
  app.token = ''
  const { auth } = await app.approleLogin({ role_id, secret_id })
  assert.equal(app.token, auth.client_token)
  assert.deepEqual([auth.token_policies.sort(), auth.lease_duration, auth.renewable], [['default', 'myapp-policy'], 1200, true])
  same((await app.read('secret/data/js-vault/myapp/database')).data.data.password, plant('app'))
  await refused(app.write('secret/data/js-vault/myapp/database', { data: { password: plant('x') } }), 403, 'permission denied')
  await app.write('secret/data/js-vault/databases/main', { data: { password: plant('main') } })
  await app.write('secret/data/js-vault/databases/main', { data: { password: plant('second') } })
  same((await app.read('secret/data/js-vault/databases/main')).data.data.password, plant('second'))
  await app.delete('secret/data/js-vault/databases/main')
  await refused(app.read('secret/data/js-vault/production/database'), 403, 'permission denied')
  await refused(app.read('sys/mounts'), 403, 'permission denied')
  assert.equal((await app.tokenLookupSelf()).data.path, 'auth/approle/login')
  assert.equal((await app.tokenRenewSelf({ increment: 600 })).auth.client_token, app.token)
  await refused(app.approleLogin({ role_id, secret_id: 'wrong' }), 400, 'invalid role or secret ID')
  await app.tokenRevokeSelf()
  await refused(app.read('secret/data/js-vault/myapp/database'), 403, 'permission denied')
})

test('tokens', async () => {
  const { auth } = await admin().tokenCreate({ policies: ['default'], ttl: '1h', display_name: 'js', meta: { team: 'blue' } })
  assert.deepEqual([auth.lease_duration, auth.renewable], [3600, true])
  const { data } = await admin().tokenLookup({ token: auth.client_token })
  assert.deepEqual([data.display_name, data.meta, data.policies], ['token-js', { team: 'blue' }, ['default']])
  assert.ok((await admin().tokenAccessors()).data.keys.includes(auth.accessor))
  assert.equal((await admin().tokenLookupAccessor({ accessor: auth.accessor })).data.id, '')
  await admin().tokenRenew({ token: auth.client_token, increment: 60 })
  const own = vault({ token: auth.client_token })
  assert.equal((await own.tokenLookupSelf()).data.accessor, auth.accessor)
  await admin().tokenRevokeAccessor({ accessor: auth.accessor })
  await refused(own.tokenLookupSelf(), 403, 'permission denied')

  // The client's own renewal.
  const short = vault({ token: (await admin().tokenCreate({ policies: ['default'], ttl: '2s' })).auth.client_token })
  const renewed = new Promise((resolve, reject) => short.once('token:renewed', resolve).once('token:error:renew', reject))
  await short.startTokenRenewal({ increment: 60 })
  const late = new AbortController() // its timer also keeps the program running: the client's own does not
  const answer = await Promise.race([renewed, setTimeout(10_000, null, { signal: late.signal })])
  late.abort()
  assert.equal(answer?.auth.lease_duration, 60)
  short.stopTokenRenewal()
})

test('a wrapped answer', async () => {
  await root.write('secret/data/js-vault/wrapped', { data: { v: plant('wrapped') } })
  const { wrap_info } = await root.read('secret/data/js-vault/wrapped', { headers: { 'X-Vault-Wrap-TTL': '60s' } })
  assert.equal(wrap_info.ttl, 60)
  same((await root.unwrap({ token: wrap_info.token })).data.data.v, plant('wrapped'))
  await refused(root.unwrap({ token: wrap_info.token }), 400, 'wrapping token is not valid or does not exist')
})

test('transit', async () => {
  await root.mount({ mount_point: 'transit', type: 'transit' })
  await root.transitCreateKey({ name: 'js' })
  const plaintext = Buffer.from(plant('transit')).toString('base64')
  const { ciphertext } = (await root.encryptData({ name: 'js', plaintext })).data
  assert.match(ciphertext, /^vault:v1:/)
  same((await root.decryptData({ name: 'js', ciphertext })).data.plaintext, plaintext)
  await root.write('transit/keys/js/rotate', {})
  assert.match((await root.rewrapData({ name: 'js', ciphertext })).data.ciphertext, /^vault:v2:/)
  assert.equal((await root.transitReadKey({ name: 'js' })).data.latest_version, 2)
  assert.deepEqual((await root.transitListKeys()).data.keys, ['js'])
})
