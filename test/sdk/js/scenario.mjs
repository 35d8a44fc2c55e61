// Scenarios with the AWS SDK for JavaScript v3 as a program uses it: endpoint,
// region and access key come from the environment. All operations must succeed
// at least once.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import * as sdk from '@aws-sdk/client-secrets-manager'

const canary = process.env.COUNTERSIGN_TEST_CANARY
const plant = (text) => `${canary}/${text}`
const lambda = 'arn:aws:lambda:us-east-1:000000000000:function:rotate'
const noSecret = "Secrets Manager can't find the specified secret."
const token = '33333333-cccc-4ccc-8ccc-cccccccccccc'

const succeeded = new Set()

// A client that notes which operations succeeded. Its requests are the SDK's.
function client(config = {}) {
  const made = new sdk.SecretsManager(config)
  made.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args)
      succeeded.add(context.commandName.replace(/Command$/, ''))
      return result
    },
    { step: 'initialize', name: 'note' },
  )
  return made
}

const sm = client()

after(() => {
  const all = Object.keys(sdk)
    .filter((k) => /^[A-Z].*Command$/.test(k) && k !== '$Command')
    .map((k) => k.replace(/Command$/, ''))
  assert.equal(all.length, 23)
  assert.deepEqual(all.filter((op) => !succeeded.has(op)), [], 'operations that never succeeded')
})

// Compares values without printing them.
function same(got, want) {
  assert.ok(got === want, 'the value is not the one that was expected')
}

async function refused(call, type, text) {
  await assert.rejects(call, (error) => {
    if (typeof type === 'string') assert.equal(error.name, type)
    else assert.ok(error instanceof type, `${error.name} is not a ${type.name}`)
    assert.ok(error instanceof sdk.SecretsManagerServiceException)
    assert.equal(error.$metadata.httpStatusCode, 400)
    assert.ok(error.$metadata.requestId)
    assert.ok(error.message.includes(text), error.message)
    assert.ok(!JSON.stringify(error).includes(canary) && !error.stack.includes(canary), 'the error tells the value')
    return true
  })
}

const policy = (Effect, Principal) =>
  JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect, Principal, Action: 'secretsmanager:GetSecretValue', Resource: '*' }] })
const own = { AWS: 'arn:aws:iam::000000000000:root' }

test('lifecycle', async () => {
  const id = 'js/lifecycle'
  const made = await sm.createSecret({ Name: id, SecretString: plant('one'), Description: 'the first' })
  assert.match(made.ARN, /^arn:aws:secretsmanager:us-east-1:000000000000:secret:js\/lifecycle-[A-Za-z0-9]{6}$/)
  const got = await sm.getSecretValue({ SecretId: made.ARN })
  same(got.SecretString, plant('one'))
  assert.deepEqual(got.VersionStages, ['AWSCURRENT'])
  assert.ok(got.CreatedDate instanceof Date && Math.abs(got.CreatedDate - Date.now()) < 300_000)
  const two = await sm.putSecretValue({ SecretId: id, SecretString: plant('two') })
  const three = await sm.updateSecret({ SecretId: id, SecretString: plant('three'), Description: 'the third' })
  const described = await sm.describeSecret({ SecretId: id })
  assert.equal(described.Description, 'the third')
  assert.deepEqual(described.VersionIdsToStages, { [three.VersionId]: ['AWSCURRENT'], [two.VersionId]: ['AWSPREVIOUS'] })
  await sm.updateSecretVersionStage({
    SecretId: id, VersionStage: 'AWSCURRENT', RemoveFromVersionId: three.VersionId, MoveToVersionId: two.VersionId,
  })
  same((await sm.getSecretValue({ SecretId: id })).SecretString, plant('two'))
  same((await sm.getSecretValue({ SecretId: id, VersionStage: 'AWSPREVIOUS' })).SecretString, plant('three'))

  const gone = await sm.deleteSecret({ SecretId: id, RecoveryWindowInDays: 10 })
  assert.ok(Math.abs(gone.DeletionDate - Date.now() - 10 * 86_400_000) < 300_000)
  await refused(sm.getSecretValue({ SecretId: id }), sdk.InvalidRequestException, 'marked for deletion')
  await sm.restoreSecret({ SecretId: id })
  same((await sm.getSecretValue({ SecretId: id })).SecretString, plant('two'))
})

test('binary', async () => {
  const data = Buffer.concat([Buffer.from(canary), Buffer.from([0, 255, 10, 128])])
  await sm.createSecret({ Name: 'js/binary', SecretBinary: data })
  const got = await sm.getSecretValue({ SecretId: 'js/binary' })
  assert.equal(got.SecretString, undefined)
  assert.ok(data.equals(got.SecretBinary), 'the bytes came back changed')
})

test('tags, lists and pages', async () => {
  for (const name of ['b', 'a', 'c']) {
    await sm.createSecret({ Name: `js/list/${name}`, SecretString: plant(name), Tags: [{ Key: 'js-tag', Value: name }] })
  }
  await sm.tagResource({ SecretId: 'js/list/a', Tags: [{ Key: 'js-more', Value: 'x' }] })
  await sm.untagResource({ SecretId: 'js/list/b', TagKeys: ['js-tag'] })
  const names = async (input) => {
    const all = []
    for await (const page of sdk.paginateListSecrets({ client: sm, pageSize: 2 }, input)) all.push(...page.SecretList.map((s) => s.Name.slice(-1)))
    return all.join('')
  }
  const mine = { Key: 'name', Values: ['js/list/'] }
  assert.equal(await names({ Filters: [mine], SortBy: 'name', SortOrder: 'asc' }), 'abc')
  assert.equal(await names({ Filters: [{ Key: 'tag-key', Values: ['js-tag'] }], SortBy: 'name', SortOrder: 'desc' }), 'ca')
  assert.equal(await names({ Filters: [{ Key: 'tag-key', Values: ['js-more'] }] }), 'a')

  const values = []
  for await (const page of sdk.paginateBatchGetSecretValue({ client: sm, pageSize: 2 }, { Filters: [mine] })) values.push(...page.SecretValues)
  assert.equal(values.filter((v) => v.SecretString === plant(v.Name.slice(-1))).length, 3)
  const mixed = await sm.batchGetSecretValue({ SecretIdList: ['js/list/a', 'js/list/none'] })
  assert.deepEqual([mixed.SecretValues.length, mixed.Errors[0].ErrorCode], [1, 'ResourceNotFoundException'])

  for (const value of ['2', '3', '4']) await sm.putSecretValue({ SecretId: 'js/list/a', SecretString: plant(value) })
  let versions = 0
  for await (const page of sdk.paginateListSecretVersionIds({ client: sm, pageSize: 1 }, { SecretId: 'js/list/a', IncludeDeprecated: true })) versions += page.Versions.length
  assert.equal(versions, 4)
})

test('resource policies', async () => {
  const id = 'js/policy'
  await sm.createSecret({ Name: id, SecretString: plant('v') })
  await sm.putResourcePolicy({ SecretId: id, ResourcePolicy: policy('Allow', own), BlockPublicPolicy: true })
  assert.deepEqual(JSON.parse((await sm.getResourcePolicy({ SecretId: id })).ResourcePolicy), JSON.parse(policy('Allow', own)))
  await refused(sm.putResourcePolicy({ SecretId: id, ResourcePolicy: policy('Allow', '*'), BlockPublicPolicy: true }), sdk.PublicPolicyException, '')
  await refused(sm.putResourcePolicy({ SecretId: id, ResourcePolicy: 'no' }), sdk.MalformedPolicyDocumentException, '')
  await sm.putResourcePolicy({ SecretId: id, ResourcePolicy: policy('Deny', '*') })
  await refused(sm.getSecretValue({ SecretId: id }), 'AccessDeniedException', 'secretsmanager:GetSecretValue')
  await sm.deleteResourcePolicy({ SecretId: id })
  same((await sm.getSecretValue({ SecretId: id })).SecretString, plant('v'))
  assert.equal((await sm.validateResourcePolicy({ ResourcePolicy: policy('Allow', own) })).PolicyValidationPassed, true)
})

test('replicas', async () => {
  const id = 'js/replica'
  const west = client({ region: 'us-west-2' })
  await sm.createSecret({ Name: id, SecretString: plant('one') })
  const added = await sm.replicateSecretToRegions({ SecretId: id, AddReplicaRegions: [{ Region: 'us-west-2' }, { Region: 'eu-west-1' }] })
  assert.deepEqual(added.ReplicationStatus.map((r) => r.Status), ['InSync', 'InSync'])
  same((await west.getSecretValue({ SecretId: id })).SecretString, plant('one'))
  await refused(west.putSecretValue({ SecretId: id, SecretString: plant('x') }), sdk.InvalidRequestException, 'Operation not permitted on a replica secret.')
  await sm.removeRegionsFromReplication({ SecretId: id, RemoveReplicaRegions: ['eu-west-1'] })
  await west.stopReplicationToReplica({ SecretId: id })
  await west.putSecretValue({ SecretId: id, SecretString: plant('theirs') })
  same((await sm.getSecretValue({ SecretId: id })).SecretString, plant('one'))
})

test('errors by their types', async () => {
  await sm.createSecret({ Name: 'js/errors', SecretString: plant('v'), ClientRequestToken: token })
  await sm.createSecret({ Name: 'js/errors', SecretString: plant('v'), ClientRequestToken: token })
  await refused(sm.getSecretValue({ SecretId: 'js/none' }), sdk.ResourceNotFoundException, noSecret)
  await refused(sm.createSecret({ Name: 'js/errors', SecretString: plant('v') }), sdk.ResourceExistsException, 'The operation failed because the secret js/errors already exists.')
  await refused(sm.getSecretValue({ SecretId: 'no name' }), 'ValidationException', 'Invalid name.')
  await refused(sm.getSecretValue({}), 'ValidationException', '')
  await refused(sm.deleteSecret({ SecretId: 'js/errors', RecoveryWindowInDays: 3 }), sdk.InvalidParameterException, '')
  await refused(sm.listSecrets({ NextToken: 'made-up' }), sdk.InvalidNextTokenException, '')
  await refused(client({ credentials: { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: 'wrong' } }).listSecrets({}), 'InvalidSignatureException', 'The request signature we calculated does not match')
  await refused(client({ credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wrong' } }).listSecrets({}), 'UnrecognizedClientException', 'The security token included in the request is invalid.')
})

// Programs that people have, which make their clients with a region and
// nothing else.

const command = (Command, input, from = new sdk.SecretsManagerClient({ region: 'us-east-1' })) => from.send(new Command(input))

async function readJSON(id) {
  const response = await command(sdk.GetSecretValueCommand, { SecretId: id })
  if (response.SecretString) return JSON.parse(response.SecretString)
  return Buffer.from(response.SecretBinary, 'base64').toString('ascii')
}

test('a reader of JSON and of bytes', async () => {
  await sm.createSecret({ Name: 'js/myapp/database', SecretString: JSON.stringify({ username: 'admin', password: plant('pw') }) })
  const credentials = await readJSON('js/myapp/database')
  assert.equal(credentials.username, 'admin')
  same(credentials.password, plant('pw'))
  await sm.createSecret({ Name: 'js/myapp/key', SecretBinary: Buffer.from(plant('key')) })
  same(await readJSON('js/myapp/key'), plant('key'))
})

test('a cache with a time to live', async () => {
  const id = 'js/external-api-key'
  await sm.createSecret({ Name: id, SecretString: JSON.stringify({ key: plant('one') }) })
  const cache = new Map()
  const cached = async (name, ttl) => {
    const kept = cache.get(name)
    if (kept && kept.expires > Date.now()) return kept.value
    const value = await readJSON(name)
    cache.set(name, { value, expires: Date.now() + ttl })
    return value
  }
  same((await cached(id, 300_000)).key, plant('one'))
  await sm.updateSecret({ SecretId: id, SecretString: JSON.stringify({ key: plant('two') }) })
  same((await cached(id, 300_000)).key, plant('one'))
  cache.delete(id)
  same((await cached(id, 300_000)).key, plant('two'))
})

test('runtime helpers over placeholders', async () => {
  // Deployed without a value, which is set when the program runs.
  const id = 'js/database-credentials'
  await command(sdk.CreateSecretCommand, { Name: id, Description: 'set at run time' })
  await refused(command(sdk.GetSecretValueCommand, { SecretId: id }), 'ResourceNotFoundException', 'staging label: AWSCURRENT')
  const set = (name, value) => command(sdk.PutSecretValueCommand, { SecretId: name, SecretString: typeof value === 'string' ? value : JSON.stringify(value) })
  await set(id, { host: 'prod-db.example.com', password: plant('secure') })
  same((await readJSON(id)).password, plant('secure'))
  await set(id, plant('a plain string'))
  same((await command(sdk.GetSecretValueCommand, { SecretId: id })).SecretString, plant('a plain string'))
})

test('a rotation by hand', async () => {
  // The steps of a rotation function, called with one token.
  const id = 'js/rotated'
  const made = await sm.createSecret({ Name: id, SecretString: JSON.stringify({ password: plant('old') }) })
  const { RandomPassword } = await sm.getRandomPassword({ PasswordLength: 24, ExcludePunctuation: true })
  assert.match(RandomPassword, /^[A-Za-z0-9]{24}$/)
  const pending = { SecretId: id, ClientRequestToken: token, SecretString: JSON.stringify({ password: plant('new') }), VersionStages: ['AWSPENDING'] }
  await sm.putSecretValue(pending)
  await sm.putSecretValue(pending) // each step may be repeated
  same(JSON.parse((await sm.getSecretValue({ SecretId: id, VersionStage: 'AWSPENDING' })).SecretString).password, plant('new'))
  same((await readJSON(id)).password, plant('old'))
  const finish = { SecretId: id, VersionStage: 'AWSCURRENT', MoveToVersionId: token }
  // AWS wants to be told where the label is.
  await refused(sm.updateSecretVersionStage(finish), sdk.InvalidParameterException, "The parameter RemoveFromVersionId can't be empty.")
  await sm.updateSecretVersionStage({ ...finish, RemoveFromVersionId: made.VersionId })
  same((await readJSON(id)).password, plant('new'))

  await refused(command(sdk.RotateSecretCommand, { SecretId: id, RotationLambdaARN: `${lambda}-nobody`, RotationRules: { AutomaticallyAfterDays: 30 } }), 'AccessDeniedException', 'Secrets Manager cannot invoke the specified Lambda function.')
  await sm.rotateSecret({ SecretId: id, RotationLambdaARN: lambda, RotationRules: { AutomaticallyAfterDays: 30 }, RotateImmediately: false })
  assert.equal((await sm.describeSecret({ SecretId: id })).RotationRules.AutomaticallyAfterDays, 30)
  await sm.cancelRotateSecret({ SecretId: id })
})

test('two credentials at a time', async () => {
  const id = 'js/dual'
  await sm.createSecret({ Name: id, SecretString: plant('one') })
  await sm.createSecret({ Name: `${id}-pending`, SecretString: plant('two') })
  const { SecretString } = await sm.getSecretValue({ SecretId: `${id}-pending` })
  await sm.updateSecret({ SecretId: id, SecretString })
  await sm.deleteSecret({ SecretId: `${id}-pending`, ForceDeleteWithoutRecovery: true })
  same((await sm.getSecretValue({ SecretId: id })).SecretString, plant('two'))
  await refused(sm.describeSecret({ SecretId: `${id}-pending` }), sdk.ResourceNotFoundException, noSecret)
})
