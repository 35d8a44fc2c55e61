package secretsmanager

import (
	"net/http"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/schema"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/front/aws"
	"countersign/internal/name"
)

// fault maps every error of a call to AWS's wire.
func fault(c *aws.Call, e *errs.Error) aws.Fault {
	return faultFor(c.Who, c.Op.Op.Action(), c.Said, e)
}

// faultFor maps an error of an action. Its texts repeat what the client said,
// and of what was found only the version ids of a secret that the client may
// alter.
func faultFor(who caller.Caller, action string, said aws.Said, e *errs.Error) aws.Fault {
	if f, ok := aws.Common(e); ok {
		return f
	}
	switch e.Kind {
	case errs.Invalid:
		return invalid(said, e)
	case errs.Denied:
		return denied(who, action, said, e)
	case errs.NotFound:
		return notFound(e)
	case errs.Exists:
		if e.Code == secret.CodeToken {
			return aws.Refusal("ResourceExistsException", "You can't use ClientRequestToken "+said.Token+
				" because that value is already in use for a version of secret "+said.Resource+".")
		}
		return aws.Refusal("ResourceExistsException", "The operation failed because the secret "+said.Resource+" already exists.")
	case errs.Conflict:
		return aws.Refusal(invalidRequest, "The operation failed because the secret was changed by another request.")
	case errs.Precondition:
		return precondition(said, e)
	case errs.Limit:
		return limit(e)
	case errs.Internal, errs.Unauthenticated, errs.Throttled, errs.Unavailable, errs.Canceled:
		// All but the first are common and do not get here.
	}
	return aws.Fault{Status: http.StatusInternalServerError, Type: "InternalServiceError",
		Message: "An error occurred on the server side.", Modelled: true}
}

// denied is AWS's text with the id by which an administrator finds out why.
func denied(who caller.Caller, action string, said aws.Said, e *errs.Error) aws.Fault {
	if e.Action != "" {
		action = e.Action
	}
	text := "User: " + who.ARN() + " is not authorized to perform: " + action
	if said.Resource != "" {
		text += " on resource: " + said.Resource
	}
	switch e.Code {
	case secret.CodeLockout:
		text += " because the change would lock you out of the secret"
	case policy.EffectDeny:
		text += " with an explicit deny in an identity-based policy"
	default:
		text += " because no identity-based policy allows the " + action + " action"
	}
	if e.Decision != "" {
		text += " (decision " + e.Decision + ")"
	}
	return aws.Fault{Status: http.StatusBadRequest, Type: "AccessDeniedException", Message: text}
}

func notFound(e *errs.Error) aws.Fault {
	const value = "Secrets Manager can't find the specified secret value for "
	text := "Secrets Manager can't find the specified secret."
	switch e.Code {
	case secret.CodeLabel:
		text = value + "staging label: " + e.Field
	case secret.CodeVersion:
		text = value + "VersionId: " + e.Field
	}
	return aws.Refusal("ResourceNotFoundException", text)
}

// invalid maps what is wrong with the request whatever the state.
func invalid(said aws.Said, e *errs.Error) aws.Fault {
	switch e.Code {
	case invalidRequest, invalidParameter: // this front's own
		return aws.Refusal(e.Code, e.Msg)
	case name.CodeSecretName:
		return aws.Fault{Status: http.StatusBadRequest, Type: aws.CodeValidation, Message: invalidNameText}
	case policy.CodeMalformed:
		return aws.Refusal("MalformedPolicyDocumentException", "This resource policy contains an error: "+aws.Sentence(e.Msg))
	case secret.CodePageToken:
		return aws.Refusal("InvalidNextTokenException", "The NextToken value is not valid for this request.")
	case secret.CodeLabelElsewhere:
		return aws.Refusal(invalidParameter, "The parameter RemoveFromVersionId can't be empty. Staging label "+said.Label+
			" is currently attached to version "+e.Field+", so you must explicitly reference that version in RemoveFromVersionId.")
	case secret.CodeLabelNotThere:
		return aws.Refusal(invalidParameter, "The staging label "+said.Label+" is not attached to version "+e.Field+".")
	case secret.CodeRegion:
		return aws.Refusal(invalidParameter, "Invalid replica region.")
	}
	if e.Field == "PasswordLength" { // out of bounds it was refused before
		return aws.Refusal(invalidParameter, "Password length is too short based on the required types.")
	}
	return aws.Refusal(invalidParameter, aws.Sentence(e.Msg))
}

// precondition maps what the state of the secret does not allow.
func precondition(said aws.Said, e *errs.Error) aws.Fault {
	switch e.Code {
	case change.CodeAwaits:
		return aws.Fault{Status: http.StatusBadRequest, Type: "AccessDeniedException", Message: aws.Sentence(e.Msg)}
	case secret.CodeMismatch:
		return aws.Refusal(invalidRequest, "You provided a VersionStage that is not associated to the provided VersionId.")
	case secret.CodeDeleted:
		return aws.Refusal(invalidRequest, "You can't perform this operation on the secret because it was marked for deletion.")
	case secret.CodeNameDeleted:
		return aws.Refusal(invalidRequest, "You can't create this secret because a secret with this name is already scheduled for deletion.")
	case secret.CodeReplica:
		return aws.Refusal(invalidRequest, "Operation not permitted on a replica secret. Call must be made in primary secret's region.")
	case secret.CodeHasReplicas:
		return aws.Refusal(invalidParameter, "You can't delete secret "+said.Resource+" that still has replica regions ["+e.Field+"]")
	case secret.CodeNotReplica:
		return aws.Refusal(invalidRequest, "The secret is not a replica secret.")
	case secret.CodeLabelCurrent:
		return aws.Refusal(invalidParameter, "You can't remove the staging label AWSCURRENT from a version. To move it, specify MoveToVersionId.")
	case secret.CodePublic:
		return aws.Refusal("PublicPolicyException", "The BlockPublicPolicy parameter is set to true, and the resource policy did not prevent broad access to the secret.")
	case secret.CodeNoRotation:
		return aws.Refusal(invalidRequest, "No Lambda rotation function ARN is associated with this secret.")
	case secret.CodeRotating:
		return aws.Refusal(invalidRequest, "A previous rotation isn't complete. That rotation will be reattempted.")
	case secret.CodeNotInvocable:
		return aws.Fault{Status: http.StatusBadRequest, Type: "AccessDeniedException", Message: "Secrets Manager cannot invoke the specified " +
			"Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."}
	}
	return aws.Refusal(invalidRequest, aws.Sentence(e.Msg))
}

// limit maps quotas. Tags are no resource of AWS's that has a
// LimitExceededException.
func limit(e *errs.Error) aws.Fault {
	switch e.Code {
	case secret.CodeTags:
		return aws.Refusal(invalidParameter, "You can't attach more than 50 tags to a secret.")
	case secret.CodeValue:
		return aws.Refusal(invalidParameter, "The secret value is larger than 65536 bytes.")
	case schema.CodeValue: // of a value that cannot be judged, as of one that does not fit
		return aws.Refusal(invalidParameter, aws.Sentence(e.Msg))
	}
	return aws.Refusal("LimitExceededException", aws.Sentence(e.Msg))
}
