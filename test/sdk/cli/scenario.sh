#!/bin/sh
# All operations with the aws command line, version 1 or 2. Endpoint, region and
# access key come from the environment. The script ends at the first thing that
# is not as it should be, names it, and never prints a value.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export AWS_PAGER='' AWS_DEFAULT_OUTPUT=json

value() { printf '%s/%s' "$COUNTERSIGN_TEST_CANARY" "$1"; }
step=

fail() {
  echo "FAIL: $step: $1" >&2
  exit 1
}

# sm runs an operation that must succeed. Its output is in $out.
sm() {
  step="aws secretsmanager $1 ($(line))"
  out=$(aws secretsmanager "$@" 2>"$dir/err") || fail "$(cat "$dir/err")"
}

# refused CODE TEXT OPERATION ... runs one that must fail with that error.
refused() {
  code=$1 text=$2
  shift 2
  step="aws secretsmanager $1 ($(line))"
  if aws secretsmanager "$@" >"$dir/out" 2>"$dir/err"; then fail "succeeded, want $code"; fi
  grep -qF "An error occurred ($code) when calling the" "$dir/err" || fail "want $code, got: $(cat "$dir/err")"
  grep -qF -- "$text" "$dir/err" || fail "want \"$text\", got: $(cat "$dir/err")"
  if grep -qF "$COUNTERSIGN_TEST_CANARY" "$dir/err" "$dir/out"; then fail "the refusal tells the value"; fi
}

# is WANT compares the output of the last operation.
is() { [ "$out" = "$1" ] || { case "$out$1" in *"$COUNTERSIGN_TEST_CANARY"*) fail "the value is not the one that was expected" ;; *) fail "got \"$out\", want \"$1\"" ;; esac } }

# like PATTERN compares it with a pattern of the shell.
like() { case "$out" in $1) ;; *) fail "the output is not like $1" ;; esac }

steps=0
line() { echo "step $steps"; }
next() { steps=$((steps + 1)); }

id=cli/myapp/database
none="Secrets Manager can't find the specified secret."

# As the manuals have it.
next
sm create-secret --name $id --description "of the app" --secret-string "{\"username\":\"admin\",\"password\":\"$(value one)\"}" --query ARN --output text
arn=$out
like "arn:aws:secretsmanager:us-east-1:000000000000:secret:$id-??????"
sm get-secret-value --secret-id $id --query SecretString --output text
is "{\"username\":\"admin\",\"password\":\"$(value one)\"}"
sm update-secret --secret-id $id --secret-string "$(value two)" --query VersionId --output text
two=$out
sm put-secret-value --secret-id "$arn" --secret-string "$(value three)" --query VersionStages --output text
is AWSCURRENT
sm get-secret-value --secret-id $id --version-stage AWSPREVIOUS --query SecretString --output text
is "$(value two)"

# Values from files, as text and as bytes.
next
printf '%s\n' "$(value 'from a file')" >"$dir/text"
sm put-secret-value --secret-id $id --secret-string "file://$dir/text"
printf '%s\000\377' "$(value bytes)" >"$dir/bytes"
sm create-secret --name cli/bytes --secret-binary "fileb://$dir/bytes"
sm get-secret-value --secret-id cli/bytes --query SecretBinary --output text
printf '%s' "$out" | base64 -d | cmp -s - "$dir/bytes" || fail "the bytes came back changed"

# Labels.
next
sm put-secret-value --secret-id $id --secret-string "$(value next)" --version-stages AWSPENDING --client-request-token 44444444-dddd-4ddd-8ddd-dddddddddddd --query VersionId --output text
is 44444444-dddd-4ddd-8ddd-dddddddddddd
refused InvalidParameterException "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version" \
  update-secret-version-stage --secret-id $id --version-stage AWSCURRENT --move-to-version-id 44444444-dddd-4ddd-8ddd-dddddddddddd
sm get-secret-value --secret-id $id --query VersionId --output text
sm update-secret-version-stage --secret-id $id --version-stage AWSCURRENT --move-to-version-id 44444444-dddd-4ddd-8ddd-dddddddddddd --remove-from-version-id "$out"
sm get-secret-value --secret-id $id --query SecretString --output text
is "$(value next)"
sm list-secret-version-ids --secret-id $id --include-deprecated --query 'length(Versions)' --output text
is 5

# Tags, lists and batches.
next
sm tag-resource --secret-id $id --tags Key=cli-team,Value=blue Key=cli-stage,Value=prod
sm untag-resource --secret-id $id --tag-keys cli-stage
sm list-secrets --filters Key=tag-key,Values=cli-team,cli-stage --query 'SecretList[].[Name,Tags[0].Value]' --output text
is "$(printf '%s\tblue' $id)"
if [ -z "${AWS_CLI_OLD:-}" ]; then # older than the option
  sm list-secrets --filters Key=name,Values=cli/ --sort-by name --sort-order asc --page-size 1 --query 'SecretList[].Name' --output text
  like "cli/bytes?$id"
fi
if [ -z "${AWS_CLI_OLD:-}" ]; then # older than the operation
  sm batch-get-secret-value --secret-id-list $id cli/bytes cli/none --query '[length(SecretValues),Errors[0].ErrorCode]' --output text
  is "$(printf '2\tResourceNotFoundException')"
fi
sm get-random-password --password-length 20 --exclude-punctuation --require-each-included-type --query 'length(RandomPassword)' --output text
is 20

# Resource policies.
next
policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}'
public='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:*","Resource":"*"}]}'
sm validate-resource-policy --resource-policy "$policy" --query PolicyValidationPassed --output text
is True
sm put-resource-policy --secret-id $id --resource-policy "$policy" --block-public-policy
refused PublicPolicyException "" put-resource-policy --secret-id $id --resource-policy "$public" --block-public-policy
refused MalformedPolicyDocumentException "" put-resource-policy --secret-id $id --resource-policy '{}'
sm get-resource-policy --secret-id $id --query ResourcePolicy --output text
like '*arn:aws:iam::000000000000:root*'
sm delete-resource-policy --secret-id $id

# Replicas.
next
sm replicate-secret-to-regions --secret-id $id --add-replica-regions Region=us-west-2 Region=eu-west-1 --query 'ReplicationStatus[].Status' --output text
is "$(printf 'InSync\tInSync')"
sm get-secret-value --region us-west-2 --secret-id $id --query SecretString --output text
is "$(value next)"
refused InvalidRequestException "Operation not permitted on a replica secret. Call must be made in primary secret's region." \
  put-secret-value --region us-west-2 --secret-id $id --secret-string "$(value x)"
sm remove-regions-from-replication --secret-id $id --remove-replica-regions eu-west-1 --query 'ReplicationStatus[].Region' --output text
is us-west-2
sm stop-replication-to-replica --region us-west-2 --secret-id $id --query ARN --output text
like 'arn:aws:secretsmanager:us-west-2:*'

# Rotation.
next
function=arn:aws:lambda:us-east-1:000000000000:function:rotate
refused AccessDeniedException "Secrets Manager cannot invoke the specified Lambda function." \
  rotate-secret --secret-id $id --rotation-lambda-arn $function-nobody --rotation-rules AutomaticallyAfterDays=30
sm rotate-secret --secret-id $id --rotation-lambda-arn $function --no-rotate-immediately --rotation-rules '{"ScheduleExpression":"rate(10 days)"}'
sm describe-secret --secret-id $id --query '[RotationEnabled,RotationRules.ScheduleExpression]' --output text
is "$(printf 'True\trate(10 days)')"
sm cancel-rotate-secret --secret-id $id

# Deletion.
next
sm delete-secret --secret-id $id --recovery-window-in-days 7
refused InvalidRequestException "marked for deletion" get-secret-value --secret-id $id
sm restore-secret --secret-id $id --query ARN --output text
is "$arn"
sm delete-secret --secret-id $id --force-delete-without-recovery
refused ResourceNotFoundException "$none" get-secret-value --secret-id $id
refused ValidationException "Invalid name." describe-secret --secret-id "no name"
AWS_SECRET_ACCESS_KEY=wrong
refused InvalidSignatureException "The request signature we calculated does not match" list-secrets

echo "all operations: ok"
