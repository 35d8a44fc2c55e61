package secret

import (
	"context"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// FolderRequest asks for what is directly below a prefix of names, in the caller's
// account and the request's region.
type FolderRequest struct {
	Prefix string // empty, or ends in a slash
	// Hide tells of a name whether it is not to be seen, and then where the names
	// end that are not: at end, which comes after them in byte order, or with the
	// name itself when end is empty. Default: none is hidden.
	Hide  func(name string) (end string, hidden bool)
	After string // an entry, which need not exist: the listing begins behind it
	Max   int    // at most this many entries; default all
}

// Folder is what is directly below a prefix, in byte order: names without the
// prefix, and, with a slash at the end, what further names begin with.
type Folder struct {
	Entries []string
	More    bool   // there may be more
	Last    string // when there may be: what After is then to be, which may be no entry
}

// ListFolder lists what is directly below a prefix, without what the caller may
// not see. A name is seen by who may list secrets under it, describe it or read
// it; a folder by who may list secrets under it, or sees something in it.
//
// Folders are skipped, not read; only one that the caller may not list is looked
// into, for the first name that they see, and no further than a page of a listing
// is: what is seen of a folder beyond that does not show it.
func (s *Service) ListFolder(ctx context.Context, who caller.Caller, req FolderRequest) (Folder, error) {
	if req.Prefix != "" && !strings.HasSuffix(req.Prefix, "/") {
		req.Prefix += "/"
	}
	if plain := strings.TrimSuffix(req.Prefix, "/"); plain != "" {
		if err := name.SecretName(plain); err != nil {
			return Folder{}, s.refuse(ctx, who, policy.ListSecrets, "", err)
		}
	}
	var out Folder
	err := s.gate.View(ctx, who, policy.ListSecrets, req.Prefix, func(a *gate.Access) (err error) {
		if err := a.Allow(anything(policy.ListSecrets, who), nil); err != nil {
			return err
		}
		out, err = (&lister{s: s, a: a, hide: req.Hide}).list(req)
		return err
	})
	if err != nil {
		return Folder{}, err
	}
	return out, nil
}

// lister walks over names in one transaction.
type lister struct {
	s    *Service
	a    *gate.Access
	hide func(string) (string, bool)
}

func (l *lister) list(req FolderRequest) (out Folder, err error) {
	from := req.Prefix
	if req.After != "" {
		from = beyond(req.Prefix + req.After)
	}
	looked := 0
	for {
		full, ok, err := l.next(from, req.Prefix)
		if err != nil || !ok {
			return Folder{Entries: out.Entries}, err
		}
		entry := full[len(req.Prefix):]
		dir, _, inside := strings.Cut(entry, "/")
		if inside {
			entry = dir + "/"
		}
		seen := false
		if inside {
			seen, err = l.seesFolder(req.Prefix + entry)
		} else {
			seen, err = l.sees(full)
		}
		if err != nil {
			return Folder{}, err
		}
		if looked++; seen && req.Max > 0 && len(out.Entries) == req.Max || looked > maxLooked {
			out.More = true
			return out, nil
		}
		if seen {
			out.Entries = append(out.Entries, entry)
		}
		out.Last = entry
		from = beyond(req.Prefix + entry)
	}
}

// beyond is where names begin that come after a name, or after all in a folder.
func beyond(s string) string {
	if dir, ok := strings.CutSuffix(s, "/"); ok {
		return dir + "0" // which follows the slash
	}
	return s + "\x00"
}

// next returns the first name from a place on that begins with prefix and is not
// hidden.
func (l *lister) next(from, prefix string) (full string, ok bool, err error) {
	for {
		if full, ok, err = l.first(from, prefix); err != nil || !ok || l.hide == nil {
			return full, ok, err
		}
		end, hidden := l.hide(full)
		if !hidden {
			return full, true, nil
		}
		if from = end; from <= full {
			from = beyond(full)
		}
	}
}

func (l *lister) first(from, prefix string) (string, bool, error) {
	all := headPrefix(l.a.Who.Account, l.a.Who.Region)
	rng := kv.Prefix(all)
	start := kv.Key(all).Str(from)
	rng.Start = start[:len(start)-2] // without the end of the text: from it on, whatever follows
	for p, err := range l.a.Scan(rng) {
		if err != nil {
			return "", false, err
		}
		strs, _, err := kv.Key(p.Key).Parts("ssss")
		if err != nil {
			return "", false, err
		}
		return strs[3], strings.HasPrefix(strs[3], prefix), nil
	}
	return "", false, nil
}

// under asks policy whether the caller may list secrets under a name or folder.
func (l *lister) under(path string) (bool, error) {
	req := anything(policy.ListSecrets, l.a.Who)
	req.Under = path
	return l.a.May(req, policy.ListSecrets, nil)
}

func (l *lister) sees(full string) (bool, error) {
	if ok, err := l.under(full); ok || err != nil {
		return ok, err
	}
	f, err := l.s.load(l.a, name.Secret{Account: l.a.Who.Account, Region: l.a.Who.Region, Name: full}, "")
	if err != nil || f.head == nil {
		return false, err
	}
	for _, op := range []policy.Op{policy.Describe, policy.ReadValue} {
		req := f.request(op)
		req.Under = full
		if ok, err := l.a.May(&req, op, f.policy); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// seesFolder looks for what makes a folder be seen: itself, a folder in it, or a
// name in it.
func (l *lister) seesFolder(folder string) (bool, error) {
	if ok, err := l.under(folder); ok || err != nil {
		return ok, err
	}
	asked := folder // the folder that was asked about last
	from := folder
	for range maxLooked {
		full, ok, err := l.next(from, folder)
		if err != nil || !ok {
			return false, err
		}
		// Folders between this name and the last one.
		for i := len(folder); i < len(full); i++ {
			if full[i] != '/' || strings.HasPrefix(asked, full[:i+1]) {
				continue
			}
			asked = full[:i+1]
			if ok, err := l.under(asked); ok || err != nil {
				return ok, err
			}
		}
		if ok, err := l.sees(full); ok || err != nil {
			return ok, err
		}
		from = beyond(full)
	}
	return false, nil
}
