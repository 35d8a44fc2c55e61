package native

import (
	"context"
	_ "embed"
	"net/http"
	"strconv"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/operate"
	"countersign/internal/core/policy"
)

//go:embed openapi.yaml
var openAPI []byte

type storeView struct {
	Revision uint64 `json:"revision"`
	Size     int64  `json:"size"`
}

type keyringView struct {
	StoreID    string    `json:"store_id"`
	Created    time.Time `json:"created"`
	Format     int       `json:"format"`
	Seal       string    `json:"seal"`
	Generation uint64    `json:"generation"`
	RootKeys   int       `json:"root_keys"`
	Accounts   int       `json:"accounts"`
}

func viewKeyring(i operate.KeyringInfo) keyringView {
	return keyringView{StoreID: i.StoreID, Created: i.Created.UTC(), Format: i.Format, Seal: i.Seal,
		Generation: i.Generation, RootKeys: i.RootKeys, Accounts: i.Accounts}
}

type auditView struct {
	Log      string     `json:"log"`
	Head     audit.Head `json:"head"`
	First    uint64     `json:"first"`
	Last     uint64     `json:"last"`
	Signed   uint64     `json:"signed"`
	Synced   uint64     `json:"synced"`
	Segments int        `json:"segments"`
	Free     int64      `json:"free"`
	Waiting  int        `json:"waiting"`
}

type statusView struct {
	Version  string      `json:"version"`
	Started  time.Time   `json:"started"`
	Uptime   int64       `json:"uptime_seconds"`
	Account  string      `json:"account"`
	Regions  []string    `json:"regions"`
	Store    storeView   `json:"store"`
	Keyring  keyringView `json:"keyring"`
	Audit    auditView   `json:"audit"`
	Warnings []string    `json:"warnings"`
}

func viewStatus(s operate.Status) statusView {
	return statusView{Version: s.Version, Started: s.Started.UTC(), Uptime: int64(time.Since(s.Started) / time.Second),
		Account: s.Home, Regions: some(s.Regions), Store: storeView{Revision: uint64(s.Revision), Size: s.Size}, Keyring: viewKeyring(s.Keyring),
		Audit: auditView{Log: s.Log, Head: s.Head, First: s.Audit.First, Last: s.Audit.Seq, Signed: s.Audit.Signed,
			Synced: s.Audit.Synced, Segments: s.Audit.Segments, Free: s.Audit.Free, Waiting: s.Waiting},
		Warnings: some(s.Warnings)}
}

type proofView struct {
	Account  string `json:"account"`
	Primary  string `json:"primary"`
	Records  uint64 `json:"records"`
	DataKeys uint64 `json:"data_keys"`
	Keys     int    `json:"keys_destroyed"`
}

type rotationState struct {
	Keyring  keyringView `json:"keyring"`
	Running  bool        `json:"running"`
	Pending  []string    `json:"pending"`
	Account  string      `json:"account,omitempty"`
	Done     uint64      `json:"done,omitempty"`
	Total    uint64      `json:"total,omitempty"`
	Finished time.Time   `json:"finished,omitzero"`
	Proofs   []proofView `json:"proofs,omitempty"`
	Failed   string      `json:"failed,omitempty"`
}

func viewRotation(i operate.KeyringInfo, r operate.Rotation) rotationState {
	v := rotationState{Keyring: viewKeyring(i), Running: r.Running, Pending: some(r.Pending), Account: r.Account, Done: r.Done,
		Total: r.Total, Finished: r.Finished.UTC(), Failed: r.Failed}
	for _, p := range r.Proofs {
		v.Proofs = append(v.Proofs, proofView{Account: p.Account, Primary: hexID(p.Primary), Records: p.Records,
			DataKeys: p.DataKeys, Keys: len(p.Destroyed)})
	}
	return v
}

// hexID spells the id of a key.
func hexID(id uint32) string { return strconv.FormatUint(uint64(id), 16) }

type whoView struct {
	Account string            `json:"account"`
	Home    bool              `json:"home"`
	Kind    string            `json:"kind"`
	Name    string            `json:"name"`
	ARN     string            `json:"arn"`
	Groups  []string          `json:"groups"`
	Tags    map[string]string `json:"tags,omitempty"`
	KeyID   string            `json:"key_id"`
	Proof   string            `json:"proof"`
	Region  string            `json:"region"`
	Source  string            `json:"source,omitempty"`
	Secure  bool              `json:"secure"`
}

type backupBody struct {
	Recipients []string `json:"recipients"`
}

func operateRows() []route {
	return []route{
		row(route{method: "GET", path: "/status", op: policy.Status, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (statusView, error) {
				return func(ctx context.Context) (statusView, error) {
					out, err := a.Operate.Status(ctx, c.who)
					return viewStatus(out), err
				}
			}),
		row(route{method: "POST", path: "/backup", op: policy.Backup, mayLack: true, media: "application/octet-stream"},
			func(a *api, c *call, in *backupBody) func(context.Context) (sending, error) {
				return func(ctx context.Context) (sending, error) {
					b, err := a.Operate.Backup(ctx, c.who, in.Recipients)
					return sending{b}, err
				}
			}),
		row(route{method: "GET", path: "/keyring", op: policy.Status, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (rotationState, error) {
				return func(ctx context.Context) (rotationState, error) {
					i, r, err := a.Operate.KeyringStatus(ctx, c.who)
					return viewRotation(i, r), err
				}
			}),
		row(route{method: "POST", path: "/keyring/rotate", op: policy.RotateKeys, deadline: long},
			func(a *api, c *call, _ *none) func(context.Context) (rotationState, error) {
				return func(ctx context.Context) (rotationState, error) {
					i, r, err := a.Operate.RotateKeys(ctx, c.who)
					return viewRotation(i, r), err
				}
			}),
		row(route{method: "GET", path: "/whoami", name: "WhoAmI", deadline: deadline}, whoAmI),
		{method: "GET", path: "/openapi.yaml", name: "OpenAPI", media: "application/yaml", document: sendDocument},
	}
}

// whoAmI shows a caller itself. It asks no policy, since it tells what the caller
// has proved, and is recorded like everything else.
func whoAmI(a *api, c *call, _ *none) func(context.Context) (whoView, error) {
	return func(ctx context.Context) (whoView, error) {
		who := &c.who
		rec := audit.FromCaller(*who, "WhoAmI")
		if err := a.Gate.Finish(ctx, &rec, nil); err != nil {
			return whoView{}, err
		}
		v := whoView{Account: who.Account, Home: who.Account == a.Authn.Home(), Kind: string(who.Kind), Name: who.Name,
			ARN: who.ARN(), Groups: some(who.Groups), Tags: who.Tags, KeyID: who.KeyID, Proof: string(who.Proof),
			Region: who.Region, Secure: who.Secure}
		if who.Source.IsValid() {
			v.Source = who.Source.String()
		}
		return v, nil
	}
}

func sendDocument(w http.ResponseWriter) error {
	h := w.Header()
	h["Content-Type"] = []string{"application/yaml; charset=utf-8"}
	h["Content-Length"] = []string{strconv.Itoa(len(openAPI))}
	_, _ = w.Write(openAPI) // a client that is gone is no failure of the server
	return nil
}

// sending is a backup on its way.
type sending struct{ b *operate.Backup }

func (s sending) send(ctx context.Context, w http.ResponseWriter) error {
	defer s.b.Close()
	file := "countersign-backup.tar"
	if s.b.Encrypted() {
		file += ".age"
	}
	w.Header()["Content-Disposition"] = []string{`attachment; filename="` + file + `"`}
	if err := s.b.Write(ctx, &steady{w: w, rc: http.NewResponseController(w)}); err != nil {
		panic(http.ErrAbortHandler) // so that the client sees that it is not whole
	}
	return nil
}

// steady gives each write its own deadline: a backup takes as long as it takes,
// a client that reads nothing does not.
type steady struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (s *steady) Write(b []byte) (int, error) {
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeWithin)) // a writer that has none is none of a socket
	return s.w.Write(b)
}
