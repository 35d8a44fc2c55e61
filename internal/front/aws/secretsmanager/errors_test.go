package secretsmanager

import (
	"errors"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/front/aws"
)

// codes is every code of core/secret, with the kind that it comes with and
// AWS's name of it.
var codes = map[string]struct {
	kind errs.Kind
	typ  string
}{
	secret.CodeSecret:         {errs.NotFound, "ResourceNotFoundException"},
	secret.CodeLabel:          {errs.NotFound, "ResourceNotFoundException"},
	secret.CodeVersion:        {errs.NotFound, "ResourceNotFoundException"},
	secret.CodeMismatch:       {errs.Precondition, "InvalidRequestException"},
	secret.CodeDeleted:        {errs.Precondition, "InvalidRequestException"},
	secret.CodeNameDeleted:    {errs.Precondition, "InvalidRequestException"},
	secret.CodeToken:          {errs.Exists, "ResourceExistsException"},
	secret.CodeReplica:        {errs.Precondition, "InvalidRequestException"},
	secret.CodeHasReplicas:    {errs.Precondition, "InvalidParameterException"},
	secret.CodeNotReplica:     {errs.Precondition, "InvalidRequestException"},
	secret.CodeLabelElsewhere: {errs.Invalid, "InvalidParameterException"},
	secret.CodeLabelNotThere:  {errs.Invalid, "InvalidParameterException"},
	secret.CodeLabelCurrent:   {errs.Precondition, "InvalidParameterException"},
	secret.CodeLabels:         {errs.Limit, "LimitExceededException"},
	secret.CodeTags:           {errs.Limit, "InvalidParameterException"},
	secret.CodeValue:          {errs.Limit, "InvalidParameterException"},
	secret.CodePageToken:      {errs.Invalid, "InvalidNextTokenException"},
	secret.CodeConflict:       {errs.Conflict, "InvalidRequestException"},
	secret.CodePublic:         {errs.Precondition, "PublicPolicyException"},
	secret.CodeLockout:        {errs.Denied, "AccessDeniedException"},
	secret.CodeNoRotation:     {errs.Precondition, "InvalidRequestException"},
	secret.CodeRotating:       {errs.Precondition, "InvalidRequestException"},
	secret.CodeBusy:           {errs.Precondition, "InvalidRequestException"},
	secret.CodeInGrace:        {errs.Precondition, "InvalidRequestException"},
	secret.CodeNotInvocable:   {errs.Precondition, "AccessDeniedException"},
	secret.CodeConvention:     {errs.Invalid, "InvalidParameterException"},
	secret.CodeRegion:         {errs.Invalid, "InvalidParameterException"},
	secret.CodeSchedule:       {errs.Invalid, "InvalidParameterException"},
	secret.CodeCASMismatch:    {errs.Conflict, "InvalidRequestException"}, // of writes that this front has not
	secret.CodeCASRequired:    {errs.Precondition, "InvalidRequestException"},
}

// TestEveryCode reads the codes out of the source of core/secret, so that a new
// one cannot be forgotten.
func TestEveryCode(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "../../../core/secret/service.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, is := n.(*ast.ValueSpec)
		if !is || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, known := codes[code]; !known {
			t.Errorf("%s is not mapped", spec.Names[0].Name)
		}
		return true
	})
	for code, want := range codes {
		e := &errs.Error{Kind: want.kind, Code: code, Field: "field", Msg: "the message", Err: errors.New("inner")}
		f := faultFor(caller.Caller{Account: "111111111111", Name: "anna"}, "secretsmanager:GetSecretValue", aws.Said{Resource: "r", Label: "l", Token: "k"}, e)
		if f.Type != want.typ || f.Status != http.StatusBadRequest || f.Message == "" || strings.Contains(f.Message, "inner") {
			t.Errorf("%s: %+v, want %s", code, f, want.typ)
		}
	}
}

// TestEveryKind holds the mapping to an answer for every kind, with and without
// a code that it knows, which tells nothing of the cause.
func TestEveryKind(t *testing.T) {
	want := map[errs.Kind]struct {
		status int
		typ    string
	}{
		errs.Internal:        {500, "InternalServiceError"},
		errs.Invalid:         {400, "InvalidParameterException"},
		errs.Unauthenticated: {400, "UnrecognizedClientException"},
		errs.Denied:          {400, "AccessDeniedException"},
		errs.NotFound:        {400, "ResourceNotFoundException"},
		errs.Exists:          {400, "ResourceExistsException"},
		errs.Conflict:        {400, "InvalidRequestException"},
		errs.Precondition:    {400, "InvalidRequestException"},
		errs.Limit:           {400, "LimitExceededException"},
		errs.Throttled:       {400, "ThrottlingException"},
		errs.Unavailable:     {503, "ServiceUnavailable"},
		errs.Canceled:        {503, "ServiceUnavailable"},
	}
	for _, k := range errs.Kinds() {
		for _, code := range []string{"", "never-heard-of"} {
			e := &errs.Error{Kind: k, Code: code, Msg: "the message", Err: errors.New("inner")}
			f := faultFor(caller.Caller{}, "a:B", aws.Said{}, e)
			if w, known := want[k]; !known || f.Status != w.status || f.Type != w.typ || strings.Contains(f.Message, "inner") {
				t.Errorf("%s %q: %+v, want %+v", k, code, f, w)
			}
			if k == errs.Internal && strings.Contains(f.Message, "the message") {
				t.Errorf("an internal error told its message: %+v", f)
			}
		}
	}
}

func TestDenied(t *testing.T) {
	who := caller.Caller{Account: "111111111111", Kind: caller.User, Name: "anna"}
	const begin = "User: arn:aws:iam::111111111111:user/anna is not authorized to perform: a:Other on resource: r "
	for code, text := range map[string]string{
		"no-match":         "because no identity-based policy allows the a:Other action",
		"explicit-deny":    "with an explicit deny in an identity-based policy",
		secret.CodeLockout: "because the change would lock you out of the secret",
	} {
		e := &errs.Error{Kind: errs.Denied, Code: code, Action: "a:Other", Decision: "D1"}
		if got, want := faultFor(who, "a:B", aws.Said{Resource: "r"}, e).Message, begin+text+" (decision D1)"; got != want {
			t.Errorf("%s:\n%s\nwant\n%s", code, got, want)
		}
	}
}
