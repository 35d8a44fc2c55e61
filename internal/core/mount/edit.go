package mount

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Holds tells whether there is anything below a mount. It is asked about types
// that it is given for.
type Holds func(r kv.Reader, account string, t *Table, m *Mount) (bool, error)

// Service is the operations on mounts. It is safe for concurrent use.
type Service struct {
	gate    *gate.Gate
	changes *change.Service
	holds   map[string]Holds
	tables  tables
}

// New returns a Service. holds says by type of mount whether something is below.
func New(g *gate.Gate, changes *change.Service, holds map[string]Holds) *Service {
	return &Service{gate: g, changes: changes, holds: holds}
}

// what an edit does.
const (
	doEnable = "enable"
	doTune   = "tune"
	doMove   = "move"
	doValues = "config"
)

// request is what an edit says, as it is written down while it waits.
type request struct {
	Do          string            `cbor:"1,keyasint,omitempty"` // empty: disable
	Type        string            `cbor:"2,keyasint,omitempty"`
	Options     map[string]string `cbor:"3,keyasint,omitempty"`
	Description *string           `cbor:"4,keyasint,omitempty"`
	Config      *Config           `cbor:"5,keyasint,omitempty"`
	To          string            `cbor:"6,keyasint,omitempty"` // of a move
	UUID        string            `cbor:"7,keyasint,omitempty"`
	Accessor    string            `cbor:"8,keyasint,omitempty"`
	Values      Values            `cbor:"9,keyasint,omitempty"`
}

type edit struct {
	s       *Service
	op      policy.Op
	account string
	path    string
	request
	out Mount
}

// EnableRequest asks for a mount.
type EnableRequest struct {
	Path        string // "kv", "auth/approle"
	Type        string // kv, kv-v2, transit; of a login method approle, userpass, jwt, kubernetes, cert
	Options     map[string]string
	Description string
	Config      Config
}

// Enable mounts an engine or a login method. Exists: there is one at the path, or
// the path lies below another, or above. Invalid with CodeType: there is no such
// engine.
func (s *Service) Enable(ctx context.Context, who caller.Caller, req EnableRequest) (change.Result, error) {
	path, err := CleanPath(req.Path)
	if err == nil {
		err = checkTexts(req.Description, req.Options)
	}
	e := &edit{s: s, op: policy.PutMount, account: who.Account, path: path, request: request{Do: doEnable, Type: req.Type,
		Options: maps.Clone(req.Options), Description: &req.Description, Config: &req.Config}}
	if err == nil {
		err = e.settle()
	}
	if err == nil {
		err = notReserved(path)
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, e.op, err)
	}
	uuid, letters := newID()
	e.UUID, e.Accessor = uuid, e.Type+"_"+letters
	if e.isLogin() {
		e.Accessor = "auth_" + e.Accessor
	}
	return s.submit(ctx, who, e)
}

func (e *edit) isLogin() bool { return strings.HasPrefix(e.path, Auth) }

// settle finds out which engine is meant.
func (e *edit) settle() error {
	if e.isLogin() {
		switch e.Type {
		case AppRole, Userpass, JWT, OIDC, Kubernetes, Cert:
			return nil
		}
		return errs.Coded(errs.Invalid, CodeType, "there is no login method %s here: approle, userpass, jwt, oidc, kubernetes and cert are there", strconv.QuoteToASCII(clip(e.Type)))
	}
	version := e.Options["version"]
	switch e.Type {
	case "kv-v2":
		e.Type, version = KV, "2"
	case "kv-v1", "generic":
		e.Type, version = KV, "1"
	case KV:
		if version == "" {
			version = "1"
		}
	case Transit:
		return nil
	default:
		return errs.Coded(errs.Invalid, CodeType, "there is no secrets engine %s here: kv and transit are there", strconv.QuoteToASCII(clip(e.Type)))
	}
	if version != "1" && version != "2" {
		return errs.InvalidField("options", "the version of a kv engine is 1 or 2")
	}
	if e.Options == nil {
		e.Options = map[string]string{}
	}
	e.Options["version"] = version
	if p, given := e.Options[optionPrefix]; given && p != "" && (!strings.HasSuffix(p, "/") || name.SecretName(p+"x") != nil) {
		return errs.InvalidField("options", "a prefix is the beginning of names of secrets and ends in a slash")
	}
	return nil
}

// optionPrefix is the option that says which names are below a key-value engine,
// where that is not its path: "/" reaches those that begin with a slash, as AWS
// clients like them.
const optionPrefix = "prefix"

// The options that say which paths there are below a key-value engine.
const (
	optionVersion = "version"
	optionV1      = "v1_reads"
)

func clip(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// reserved are the first segments of paths that are not of a mount.
var reserved = []string{"sys", "identity", "cubbyhole", "auth/token"}

func notReserved(path string) error {
	for _, r := range reserved {
		if within(path, r) || within(r, path) {
			return &errs.Error{Kind: errs.Exists, Code: CodeMount, Field: r, Msg: "path is already in use at " + r + "/"}
		}
	}
	if path == "auth" {
		return errs.InvalidField("path", "auth/ holds the login methods")
	}
	return nil
}

// within reports whether a path is another, or lies below it.
func within(path, other string) bool {
	rest, ok := strings.CutPrefix(path, other)
	return ok && (rest == "" || rest[0] == '/')
}

func checkTexts(description string, options map[string]string) error {
	if err := name.Text("description", description, maxAbout); err != nil {
		return err
	}
	if len(options) > maxOptions {
		return errs.InvalidField("options", "a mount has at most %d options", maxOptions)
	}
	for _, k := range slices.Sorted(maps.Keys(options)) {
		if err := name.Text("options", k, 100); err != nil {
			return err
		}
		if err := name.Text("options", options[k], 500); err != nil {
			return err
		}
	}
	return nil
}

// TuneRequest changes how a mount is tuned. Nil leaves a thing as it is.
type TuneRequest struct {
	Path        string
	Description *string
	Options     map[string]string // laid over those that it has
	Config      *Config
}

// Tune changes a mount. A version 1 engine becomes one of version 2 by its option;
// there is no way back, as in Vault.
func (s *Service) Tune(ctx context.Context, who caller.Caller, req TuneRequest) (change.Result, error) {
	path, err := CleanPath(req.Path)
	if err == nil {
		about := ""
		if req.Description != nil {
			about = *req.Description
		}
		err = checkTexts(about, req.Options)
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.PutMount, err)
	}
	return s.submit(ctx, who, &edit{s: s, op: policy.PutMount, account: who.Account, path: path,
		request: request{Do: doTune, Options: req.Options, Description: req.Description, Config: req.Config}})
}

// Configure sets what a key-value mount says of its secrets.
func (s *Service) Configure(ctx context.Context, who caller.Caller, path string, v Values) (change.Result, error) {
	path, err := CleanPath(path)
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.PutMountConfig, err)
	}
	return s.submit(ctx, who, &edit{s: s, op: policy.PutMountConfig, account: who.Account, path: path, request: request{Do: doValues, Values: v}})
}

// Move gives a mount another path. The names of what is below stay.
func (s *Service) Move(ctx context.Context, who caller.Caller, from, to string) (change.Result, error) {
	from, err := CleanPath(from)
	if err == nil {
		if to, err = CleanPath(to); err == nil {
			err = notReserved(to)
		}
	}
	if err == nil && strings.HasPrefix(from, Auth) != strings.HasPrefix(to, Auth) {
		err = errs.InvalidField("to", "a login method stays below auth/, and nothing else is moved there")
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.PutMount, err)
	}
	return s.submit(ctx, who, &edit{s: s, op: policy.PutMount, account: who.Account, path: from, request: request{Do: doMove, To: to}})
}

// Disable ends a mount. Precondition with CodeInUse: there is something below it.
// A path that is no mount is no error, as in Vault.
func (s *Service) Disable(ctx context.Context, who caller.Caller, path string) (change.Result, error) {
	path, err := CleanPath(path)
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.DeleteMount, err)
	}
	return s.submit(ctx, who, &edit{s: s, op: policy.DeleteMount, account: who.Account, path: path})
}

func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, err error) error {
	rec := gate.NewRecord(who, op, "")
	return s.gate.Finish(ctx, &rec, err)
}

func (s *Service) submit(ctx context.Context, who caller.Caller, e *edit) (change.Result, error) {
	return s.changes.Submit(ctx, who, change.Request{Edit: e})
}

// DecodeEdit reads back an edit that was written down; see change.Decoder.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	e := &edit{s: s, op: op, account: t.Account, path: t.Name}
	switch op {
	case policy.PutMount, policy.PutMountConfig, policy.DeleteMount:
		return e, record.Decode(data, &e.request)
	}
	return nil, errs.New(errs.Internal, "%s is no stored edit of a mount", op)
}

func (e *edit) Target() change.Target {
	return change.Target{Account: e.account, Noun: Noun, Name: e.path}
}
func (e *edit) Operation() policy.Op    { return e.op }
func (e *edit) Encode() ([]byte, error) { return record.Encode(e.request) }

// Allow asks about both ends of a move, and whether the caller may change what
// policies mean, if the edit does.
func (e *edit) Allow(a *gate.Access) error {
	paths := []string{e.path}
	if e.Do == doMove {
		paths = append(paths, e.To)
	}
	for _, p := range paths {
		if err := a.Allow(&policy.Request{Op: e.op, Resource: policy.MountARN(e.account, p), Account: e.account}, nil); err != nil {
			return err
		}
	}
	alters, err := e.altersPolicies(a)
	if err != nil || !alters {
		return err
	}
	call := a.Who.Call
	a.Who.Call = nil // the path of the call is that of mounts
	defer func() { a.Who.Call = call }()
	return a.Allow(&policy.Request{Op: policy.PutPolicy, Resource: policy.PolicyARN(e.account, "*"), Account: e.account}, nil)
}

// altersPolicies reports whether the edit changes the path of something that is
// there, or, by a prefix that is not the path, of something that is yet to come.
func (e *edit) altersPolicies(r kv.Reader) (bool, error) {
	switch {
	case e.Do == doMove:
		return true, nil
	case e.Do == doTune:
		is, err := get(r, e.account, e.path)
		if is == nil || is.Type != KV {
			return false, err
		}
		return slices.ContainsFunc([]string{optionVersion, optionV1}, func(k string) bool {
			v, given := e.Options[k]
			return given && v != is.Options[k]
		}), err
	case e.Do != doEnable || e.isLogin():
		return false, nil
	case e.prefix() != "" && e.prefix() != e.path+"/":
		return true, nil
	}
	all, err := load(r, e.account)
	holds := e.s.holds[e.Type]
	if _, taken := all[e.path]; err != nil || taken || holds == nil {
		return false, err
	}
	all[e.path] = stored{Type: e.Type, Options: e.Options, Prefix: e.prefix()}
	t := tableOf(all)
	return holds(r, e.account, t, t.Find(e.path))
}

func (e *edit) Apply(tx *change.Tx) error {
	is, err := get(tx, e.account, e.path)
	if err != nil {
		return err
	}
	var was uint64
	if is != nil {
		was = is.Revision
	}
	tx.Wrote(was, was+1, nil)
	state, err := record.Encode(is) // what votes have for a base
	if err != nil {
		return err
	}
	tx.Produced(state)
	switch {
	case e.Do == doEnable:
		return e.enable(tx, is)
	case is == nil && e.Do == "":
		tx.NothingToDo()
		return nil
	case is == nil:
		return &errs.Error{Kind: errs.NotFound, Code: CodeMount, Field: e.path, Msg: "there is no mount at " + e.path + "/"}
	case e.Do == doTune:
		return e.tune(tx, is)
	case e.Do == doMove:
		return e.move(tx, is)
	case e.Do == doValues:
		if is.Type != KV || is.Options["version"] != "2" {
			return errs.New(errs.Precondition, "only a kv engine of version 2 has this configuration")
		}
		is.Values = e.Values
		return e.put(tx, e.path, is)
	}
	return e.disable(tx, is)
}

// get reads a mount, nil for none.
func get(r kv.Reader, account, path string) (*stored, error) {
	s, err := record.Find[stored](r, mountKey(account, path))
	switch {
	case err != nil:
		return nil, err
	case s == nil && path == firstPath:
		f := first(account)
		return &f, nil
	case s == nil || s.Gone:
		return nil, nil
	}
	return s, nil
}

func (e *edit) put(tx *change.Tx, path string, s *stored) error {
	s.Revision++
	e.out = s.show(path)
	if err := record.Put(tx, mountKey(e.account, path), s); err != nil {
		return err
	}
	return raise(tx, e.account)
}

// drop removes what is at a path. secret/ leaves a note, since it is there
// without one.
func (e *edit) drop(tx *change.Tx, path string, s *stored) error {
	if err := raise(tx, e.account); err != nil {
		return err
	}
	if path == firstPath {
		return record.Put(tx, mountKey(e.account, path), stored{Gone: true, Revision: s.Revision + 1})
	}
	return tx.Delete(mountKey(e.account, path))
}

func (e *edit) enable(tx *change.Tx, is *stored) error {
	t, err := e.free(tx, e.path)
	if err != nil {
		return err
	}
	if len(t.mounts) >= MaxMounts {
		return errs.New(errs.Limit, "an account has at most %d mounts", MaxMounts)
	}
	s := stored{Type: e.Type, Options: e.Options, Description: *e.Description, UUID: e.UUID, Accessor: e.Accessor,
		Config: *e.Config, Created: tx.Now.UnixMicro()}
	if !e.isLogin() {
		s.Prefix = e.prefix()
		for i := range t.mounts {
			if m := &t.mounts[i]; m.Type == e.Type && m.Prefix == s.Prefix {
				return &errs.Error{Kind: errs.Exists, Code: CodeMount, Field: m.Path, Msg: "the names that would be below are those of " + m.Path + "/"}
			}
		}
	}
	if is != nil {
		s.Revision = is.Revision
	}
	return e.put(tx, e.path, &s)
}

// prefix is that of the names below: the path, but for the mounts that are the
// plain way to an engine.
func (e *edit) prefix() string {
	if p, given := e.Options[optionPrefix]; given && e.Type == KV {
		return p
	}
	if e.path == firstPath && e.Type == KV || e.path == Transit && e.Type == Transit {
		return ""
	}
	return e.path + "/"
}

// free refuses a path that is a mount, or lies below or above one.
func (e *edit) free(tx *change.Tx, path string) (*Table, error) {
	t, err := Load(tx, e.account)
	if err != nil {
		return nil, err
	}
	for i := range t.mounts {
		if m := &t.mounts[i]; within(path, m.Path) || within(m.Path, path) {
			return nil, &errs.Error{Kind: errs.Exists, Code: CodeMount, Field: m.Path, Msg: "path is already in use at " + m.Path + "/"}
		}
	}
	return t, nil
}

func (e *edit) tune(tx *change.Tx, is *stored) error {
	if e.Description != nil {
		is.Description = *e.Description
	}
	if e.Config != nil {
		is.Config = *e.Config
	}
	for k, v := range e.Options {
		if k == "version" && is.Type == KV && v != is.Options[k] && v != "2" {
			return errs.InvalidField("options", "a kv engine of version 2 cannot become one of version 1")
		}
		if k == optionPrefix && v != is.Options[k] {
			return errs.InvalidField("options", "the prefix of a mount stays what it was enabled with")
		}
		if is.Options == nil {
			is.Options = map[string]string{}
		}
		is.Options[k] = v
	}
	return e.put(tx, e.path, is)
}

func (e *edit) move(tx *change.Tx, is *stored) error {
	if err := e.drop(tx, e.path, is); err != nil {
		return err
	}
	if _, err := e.free(tx, e.To); err != nil {
		return err
	}
	return e.put(tx, e.To, is)
}

func (e *edit) disable(tx *change.Tx, is *stored) error {
	t, err := Load(tx, e.account)
	if err != nil {
		return err
	}
	if holds := e.s.holds[is.Type]; holds != nil {
		some, err := holds(tx, e.account, t, t.Find(e.path))
		if err != nil {
			return err
		}
		if some {
			return &errs.Error{Kind: errs.Precondition, Code: CodeInUse, Field: e.path,
				Msg: "there is something below " + e.path + "/, which disabling a mount never takes with it: delete it first, or move the mount"}
		}
	}
	return e.drop(tx, e.path, is)
}

// Lines tell who reviews it what it does.
func (e *edit) Lines() []string {
	at := e.path + "/"
	switch e.Do {
	case doEnable:
		lines := []string{"mount " + e.Type + " at " + at}
		return append(lines, options(e.Options)...)
	case doMove:
		return []string{"move the mount at " + at + " to " + e.To + "/"}
	case doValues:
		return []string{"configure " + at, "keep at most " + strconv.FormatUint(e.Values.MaxVersions, 10) + " versions (0: as the server does)",
			"check-and-set required: " + strconv.FormatBool(e.Values.CASRequired), "delete versions after " + strconv.FormatInt(e.Values.DeleteAfter, 10) + " seconds (0: never)"}
	case doTune:
		return append([]string{"tune the mount at " + at}, options(e.Options)...)
	}
	return []string{"disable the mount at " + at}
}

func options(o map[string]string) (lines []string) {
	for _, k := range slices.Sorted(maps.Keys(o)) {
		lines = append(lines, "set option "+k+"="+o[k])
	}
	return lines
}
