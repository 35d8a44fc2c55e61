package sdk

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// function is the ARN of a rotation function that the server knows and that does not
// answer; nobody is that of one which it does not know.
const (
	function = "arn:aws:lambda:us-east-1:" + account + ":function:rotate"
	nobody   = "arn:aws:lambda:us-east-1:" + account + ":function:nobody"
)

// rotationRefused asks for rotations that cannot be.
func rotationRefused(w *world) {
	ctx := w.Context()
	made := w.create("app", "v")
	id := made.Name
	_, err := w.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: id})
	typed[*types.InvalidRequestException](w, "without a function", err, msgNoFunction)
	_, err = w.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: id, RotationLambdaARN: aws.String(nobody),
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}})
	w.refused("with a function", err, "AccessDeniedException", msgNotInvoked)
	d := w.describe(*id)
	is(w, "RotationLambdaARN", d.RotationLambdaARN, nil) // nothing changed
	is(w, "the number of versions", len(d.VersionIdsToStages), 1)
	_, err = w.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: aws.String(w.prefix + "none"), RotationLambdaARN: aws.String(function)})
	typed[*types.ResourceNotFoundException](w, "of none", err, msgNoSecret)
	out, err := w.CancelRotateSecret(ctx, &secretsmanager.CancelRotateSecretInput{SecretId: id})
	if err != nil {
		w.refusedAs("cancelling what was never set", err, "InvalidRequestException")
	} else {
		is(w, "the ARN", *out.ARN, *made.ARN)
	}
}

// rotationKept keeps a schedule, and cancels it.
func rotationKept(w *world) {
	ctx := w.Context()
	made := w.create("app", "v")
	out, err := w.RotateSecret(ctx, &secretsmanager.RotateSecretInput{SecretId: made.Name, RotationLambdaARN: aws.String(function), RotateImmediately: aws.Bool(false),
		RotationRules: &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30), Duration: aws.String("3h")}})
	w.ok(err)
	is(w, "the ARN", *out.ARN, *made.ARN)
	is(w, "the name", *out.Name, *made.Name)
	d := w.describe(*made.Name)
	is(w, "RotationEnabled", aws.ToBool(d.RotationEnabled), true)
	is(w, "RotationLambdaARN", aws.ToString(d.RotationLambdaARN), function)
	is(w, "AutomaticallyAfterDays", aws.ToInt64(d.RotationRules.AutomaticallyAfterDays), 30)
	is(w, "Duration", aws.ToString(d.RotationRules.Duration), "3h")
	if d.NextRotationDate == nil || time.Until(*d.NextRotationDate) < 28*24*time.Hour || time.Until(*d.NextRotationDate) > 32*24*time.Hour {
		w.Errorf("NextRotationDate is %v", d.NextRotationDate)
	}
	is(w, "the value", w.value(*made.Name), plant("v"))

	cancelled, err := w.CancelRotateSecret(ctx, &secretsmanager.CancelRotateSecretInput{SecretId: made.Name})
	w.ok(err)
	is(w, "the ARN", *cancelled.ARN, *made.ARN)
	d = w.describe(*made.Name)
	is(w, "RotationEnabled", aws.ToBool(d.RotationEnabled), false)
	is(w, "NextRotationDate", d.NextRotationDate, nil)
}

// rotationSchedules keeps and refuses expressions.
func rotationSchedules(w *world) {
	made := w.create("app", "v")
	set := func(rules types.RotationRulesType) error {
		_, err := w.RotateSecret(w.Context(), &secretsmanager.RotateSecretInput{SecretId: made.Name, RotationLambdaARN: aws.String(function), RotateImmediately: aws.Bool(false), RotationRules: &rules})
		return err
	}
	for _, good := range []string{"rate(4 hours)", "rate(10 days)", "cron(0 8 1 * ? *)", "cron(0 16 ? * SUN *)", "cron(0 0 L * ? *)"} {
		w.ok(set(types.RotationRulesType{ScheduleExpression: &good}))
		d := w.describe(*made.Name)
		is(w, "ScheduleExpression", aws.ToString(d.RotationRules.ScheduleExpression), good)
		if d.NextRotationDate == nil || d.NextRotationDate.Before(time.Now()) {
			w.Errorf("%s: NextRotationDate is %v", good, d.NextRotationDate)
		}
	}
	for _, bad := range []string{"rate(1 hour)", "rate(0 days)", "rate(3 weeks)", "cron(* * * * *)", "cron(61 8 1 * ? *)", "every day"} {
		w.refusedAs(bad, set(types.RotationRulesType{ScheduleExpression: &bad}), "InvalidParameterException", "ValidationException")
	}
	w.refusedAs("days and an expression", set(types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(3), ScheduleExpression: aws.String("rate(3 days)")}), "InvalidParameterException")
	for _, days := range []int64{0, 1001, -1} {
		w.refusedAs("days out of range", set(types.RotationRulesType{AutomaticallyAfterDays: &days}), "InvalidParameterException", "ValidationException")
	}
	w.refusedAs("a window of none", set(types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(3), Duration: aws.String("3 hours")}), "InvalidParameterException", "ValidationException")
}

// randomPassword asks for passwords of each kind.
func randomPassword(w *world) {
	const (
		lower = "abcdefghijklmnopqrstuvwxyz"
		upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		digit = "0123456789"
		punct = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	)
	get := func(in secretsmanager.GetRandomPasswordInput) string {
		out, err := w.GetRandomPassword(w.Context(), &in)
		w.ok(err)
		return *out.RandomPassword
	}
	only := func(what, password, alphabet string, length int) {
		is(w, what+": the length", len(password), length)
		if rest := strings.Trim(password, alphabet); rest != "" {
			w.Errorf("%s: has characters that it should not have", what)
		}
	}
	yes := aws.Bool(true)
	only("by default", get(secretsmanager.GetRandomPasswordInput{}), lower+upper+digit+punct, 32)
	only("digits", get(secretsmanager.GetRandomPasswordInput{PasswordLength: aws.Int64(100), ExcludeLowercase: yes, ExcludeUppercase: yes, ExcludePunctuation: yes}), digit, 100)
	only("without some", get(secretsmanager.GetRandomPasswordInput{PasswordLength: aws.Int64(4096), ExcludeCharacters: aws.String("abcXYZ012\"\\/@")}),
		strings.NewReplacer("abc", "", "XYZ", "", "012", "", `"`, "", `\`, "", "/", "", "@", "").Replace(lower+upper+digit+punct), 4096)
	spaced := get(secretsmanager.GetRandomPasswordInput{PasswordLength: aws.Int64(4096), IncludeSpace: yes})
	only("with spaces", spaced, lower+upper+digit+punct+" ", 4096)
	is(w, "a long password has spaces", strings.Contains(spaced, " "), true)
	for range 20 {
		p := get(secretsmanager.GetRandomPasswordInput{PasswordLength: aws.Int64(4), RequireEachIncludedType: yes})
		for _, class := range []string{lower, upper, digit, punct} {
			if !strings.ContainsAny(p, class) {
				w.Errorf("a password of one of each kind has none of %q", class)
			}
		}
	}
	if one, other := get(secretsmanager.GetRandomPasswordInput{}), get(secretsmanager.GetRandomPasswordInput{}); one == other {
		w.Error("the same password came twice")
	}
	for what, in := range map[string]secretsmanager.GetRandomPasswordInput{
		"no length":       {PasswordLength: aws.Int64(0)},
		"too long":        {PasswordLength: aws.Int64(4097)},
		"nothing left":    {ExcludeLowercase: yes, ExcludeUppercase: yes, ExcludePunctuation: yes, ExcludeNumbers: yes},
		"no room for all": {PasswordLength: aws.Int64(3), RequireEachIncludedType: yes},
	} {
		_, err := w.GetRandomPassword(w.Context(), &in)
		w.refusedAs(what, err, "InvalidParameterException", "ValidationException", "InvalidRequestException")
	}
}
