package approve

import (
	"context"
	"strings"

	"countersign/internal/cli/exit"
	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sshsig"
)

// namespace is that of signatures over approvals.
const namespace = "countersign.change"

// signedText is what a signature of an approval is over, as the server holds it.
func signedText(id, digest string) []byte {
	return []byte("countersign approval v1\nchange " + id + "\ndigest " + digest + "\n")
}

// signature signs what was reviewed.
func (o *Options) signature(ctx context.Context, r client.Review) (string, error) {
	signer, err := o.signer(ctx)
	if err != nil {
		return "", wrong(err)
	}
	defer signer.Close()
	armored, err := sshsig.Sign(signer, namespace, signedText(r.ID, r.Digest))
	return armored, wrong(err)
}

func (o *Options) signer(ctx context.Context) (sshsig.Signer, error) {
	if o.Key == "" || strings.HasPrefix(o.Key, "SHA256:") {
		return sshsig.FromAgent(o.Env.Variable("SSH_AUTH_SOCK"), o.Key)
	}
	var ask func() ([]byte, error)
	if o.Env.Streams.Password != nil {
		ask = func() ([]byte, error) {
			b, err := o.Env.Streams.Ask(ctx, "passphrase of "+o.Key)
			return b.Reveal(), err
		}
	}
	return sshsig.FromFile(o.Key, ask)
}

// wrong gives an error of this machine a code: it is no answer of the server.
func wrong(err error) error {
	switch {
	case err == nil:
		return nil
	case errs.Is(err, errs.Unavailable), errs.Is(err, errs.Internal):
		return exit.With(exit.Failed, err)
	}
	return exit.With(exit.Usage, err)
}
