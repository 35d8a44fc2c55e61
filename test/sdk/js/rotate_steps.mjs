// A rotation function in four steps, behind the Invoke API. The target is a file with
// the password that it accepts.
import { createServer } from 'node:http'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { SecretsManager } from '@aws-sdk/client-secrets-manager'

const secretsManager = new SecretsManager({})
const target = process.env.TARGET

const pending = async (SecretId, Token) =>
  JSON.parse((await secretsManager.getSecretValue({ SecretId, VersionId: Token })).SecretString).password

const handler = async (event) => {
  const { Step, Token, SecretId } = event
  switch (Step) {
    case 'createSecret':
      await secretsManager.putSecretValue({
        SecretId,
        ClientRequestToken: Token,
        SecretString: JSON.stringify({ password: randomBytes(24).toString('base64url') }),
        VersionStages: ['AWSPENDING']
      })
      break
    case 'setSecret':
      await writeFile(target, await pending(SecretId, Token))
      break
    case 'testSecret':
      if (await readFile(target, 'utf8') !== await pending(SecretId, Token)) throw new Error('the login was refused')
      break
    case 'finishSecret':
      await secretsManager.updateSecretVersionStage({ SecretId, VersionStage: 'AWSCURRENT', MoveToVersionId: Token })
      break
  }
}

createServer(async (request, response) => {
  let body = ''
  for await (const part of request) body += part
  if (!/^\/2015-03-31\/functions\/[^/]+\/invocations$/.test(request.url)) {
    response.writeHead(404).end()
    return
  }
  try {
    await handler(JSON.parse(body))
    response.end('null')
  } catch (e) {
    console.error(e)
    response.setHeader('X-Amz-Function-Error', 'Unhandled')
    response.end(JSON.stringify({ errorMessage: e.message, errorType: e.name }))
  }
}).listen(Number(process.argv[2]), '127.0.0.1')
