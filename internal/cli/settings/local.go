package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"countersign/internal/errs"
)

// Names of the local file.
const (
	LocalName   = ".countersign.json"
	foreignName = ".sr.json" // of the tool that many projects come from
)

// maxLocal bounds a local file, in bytes.
const maxLocal = 64 << 10

// Local is a project's file of defaults. The zero Local is none.
type Local struct {
	Path    string // empty when there is none
	Project string
	Env     string
	File    string // name of the file of variables, in the folder of Path
	Address string

	folder string // of Path, relative to where the search began
}

// file is the path of the file of variables, as seen from where the search
// began, or empty without a local file. Without a name it is the usual one: a
// project has it at its root, wherever below the command runs.
func (l Local) file() string {
	if l.Path == "" {
		return ""
	}
	name := l.File
	if name == "" {
		name = DefaultFile
	}
	return filepath.Join(l.folder, name)
}

// FindLocal looks for the local file that holds in dir. home is the user's home
// folder, or empty. The warnings are for people, one line each.
func FindLocal(dir, home string) (Local, []string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Local{}, nil, fmt.Errorf("finding the current folder: %w", err)
	}
	var warnings []string
	for at, folder := dir, "."; ; at, folder = filepath.Dir(at), filepath.Join(folder, "..") {
		for _, name := range []string{LocalName, foreignName} {
			path := filepath.Join(at, name)
			l, err := loadLocal(path, dir)
			var foreign foreignError
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case errors.As(err, &foreign) || at != dir && errors.Is(err, fs.ErrPermission):
				warnings = append(warnings, fmt.Sprintf("%q is passed over: %s", path, whyNot(foreign)))
				continue
			case err != nil:
				return Local{}, warnings, err
			}
			l.folder = folder
			return l, warnings, nil
		}
		if at == filepath.Dir(at) || sameFolder(at, home) {
			return Local{}, warnings, nil
		}
	}
}

// foreignError is the user id of somebody who has no say in what we do.
type foreignError int

func (e foreignError) Error() string { return whyNot(e) }

func whyNot(owner foreignError) string {
	if owner == 0 { // who is trusted, so it is another reason
		return "it cannot be read"
	}
	return fmt.Sprintf("it belongs to user %d, who is neither you nor the owner of the current folder", int(owner))
}

func sameFolder(a, b string) bool {
	if b == "" {
		return false
	}
	if a == filepath.Clean(b) {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// loadLocal reads one file of whose owner dir's owner, too, is trusted. A link
// is judged as well as what it leads to: the one may be the trap for the other.
func loadLocal(path, dir string) (Local, error) {
	from, err := os.Stat(dir)
	if err != nil {
		return Local{}, fmt.Errorf("examining the current folder: %w", err)
	}
	link, err := os.Lstat(path)
	if err != nil {
		return Local{}, err // it names the path
	}
	if err := trusted(owner(link), owner(from), os.Geteuid()); err != nil {
		return Local{}, err
	}
	text, info, err := readFile(path, maxLocal)
	if err != nil {
		return Local{}, err
	}
	if err := trusted(owner(info), owner(from), os.Geteuid()); err != nil {
		return Local{}, err
	}
	l, err := parseLocal(text, filepath.Base(path) == foreignName)
	if err != nil {
		return Local{}, errs.New(errs.Invalid, "%q: %s", path, err)
	}
	l.Path = path
	return l, nil
}

// trusted decides about the owner of a file. The owner of the current folder is
// trusted so that root in a container may work in a checkout of a user's.
func trusted(file, dir, us int) error {
	if file == us || file == 0 || file == dir {
		return nil
	}
	return foreignError(file)
}

var localFields = []string{"project", "env", "file", "address"}

// parseLocal reads the text of a local file; foreign is that of another
// program, which has fields of its own.
func parseLocal(text []byte, foreign bool) (Local, error) {
	o, err := parseObject(text)
	if err != nil {
		return Local{}, err
	}
	var l Local
	if foreign {
		return l, errors.Join(o.text("project", &l.Project), o.text("env", &l.Env))
	}
	for _, m := range o {
		if !slices.Contains(localFields, m.name) {
			return Local{}, fmt.Errorf("%s: unknown; there are %s", shown(m.name), strings.Join(localFields, ", "))
		}
	}
	for _, f := range []struct {
		name string
		to   *string
	}{{"project", &l.Project}, {"env", &l.Env}, {"file", &l.File}, {"address", &l.Address}} {
		if err := o.text(f.name, f.to); err != nil {
			return Local{}, err
		}
	}
	if l.File != "" && !plainName(l.File) {
		return Local{}, errors.New("file: it must be the plain name of a file in this folder, such as .env")
	}
	return l, nil
}

// plainName refuses paths: what a repository names must stay in it.
func plainName(s string) bool {
	return s != "." && s != ".." && s != LocalName && s != foreignName && len(s) <= 255 &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`/\:`, r) })
}
