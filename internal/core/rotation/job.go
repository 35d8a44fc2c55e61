package rotation

import (
	"context"
	"strconv"

	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// job is what the step at hand is to know.
func (w *worker) job(ctx context.Context) (rotator.Job, error) {
	st := w.st
	j := rotator.Job{Account: st.Account, Region: st.Region, Name: st.Name, ARN: st.ARN, Options: st.Rotation.Settings(),
		Current: given(st.Value(st.Number)), Previous: given(st.Value(st.Labels[name.Previous]))}
	if run := st.Run; run != nil {
		j.VersionID, j.Token, j.Note = run.Version, sensitive.FromString(run.Token), run.Note
		j.Pending = given(st.Value(run.Number))
	}
	if w.kind == nil {
		return j, nil
	}
	j.Password = w.s.password(ctx, st.RotationRef, j.Options)
	j.Related = map[string]rotator.Value{}
	for option, n := range w.kind.Secrets(j.Options) {
		v, err := w.s.Secrets.ReadValue(ctx, self(st.RotationRef), secret.ReadRequest{ID: name.SecretID{Name: n}})
		if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Precondition) {
			return j, rotator.Fail(rotator.Unsuitable, err, "the secret %q, which the option %s names, has no value", n, option)
		}
		if err != nil {
			return j, err
		}
		j.Related[option] = rotator.Value{Data: v.Data, Binary: v.Binary}
	}
	return j, nil
}

func given(in secret.Input) rotator.Value { return rotator.Value{Data: in.Data, Binary: in.Binary} }

// excluded are characters that often have to be quoted somewhere: they are left out
// unless the options say what is.
const excluded = " %+~`#$&*()|[]{}:;<>?!'/@\"\\^,="

// leastBits is how much of a password is left to chance at least: no review holds what a
// rotation makes, so nobody may choose it by what it is drawn from. Eight digits have more.
const leastBits = 24

// password draws as the options of a secret say.
func (s *Service) password(ctx context.Context, ref secret.RotationRef, options map[string]string) func() (string, error) {
	return func() (string, error) {
		if p := options[rotator.PasswordPolicy]; p != "" {
			word, err := s.Passwords(ctx, self(ref), p, leastBits)
			if errs.Is(err, errs.NotFound) {
				return "", rotator.Fail(rotator.Unsuitable, err, "there is no password policy %q", p)
			}
			if errs.Is(err, errs.Precondition) {
				return "", rotator.Fail(rotator.Unsuitable, err, "the password policy %q leaves too little to chance", p)
			}
			return string(word.Reveal()), err
		}
		req := secret.PasswordRequest{Length: rotator.DefaultPassword, Exclude: excluded}
		if text := options[rotator.PasswordLength]; text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return "", rotator.Fail(rotator.Unsuitable, nil, "the option %s is no number", rotator.PasswordLength)
			}
			req.Length = n
		}
		if text, ok := options[rotator.PasswordExclude]; ok {
			req.Exclude = text
		}
		req.Each, req.Bits = true, leastBits
		word, err := secret.GeneratePassword(req)
		if err != nil {
			return "", rotator.Fail(rotator.Unsuitable, err, "the options leave no password to draw, or too few of them")
		}
		return string(word), nil
	}
}
