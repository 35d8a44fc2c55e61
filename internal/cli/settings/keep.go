package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"countersign/internal/errs"
)

// KeepLocal puts a project and an environment into the local file of a folder
// and leaves what else it says. The file is made, for everybody to read, when it
// is absent; one of another program is left alone. It returns the file's path.
func KeepLocal(dir, project, env string) (string, error) {
	for _, n := range []struct{ what, value string }{{"project", project}, {"env", env}} {
		if n.value != "" && !validName(n.value) {
			return "", errs.InvalidField(n.what, "%q is no name: %s", n.value, nameRule)
		}
	}
	path := filepath.Join(dir, LocalName)
	l, err := loadLocal(path, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return path, err
	}
	if project != "" {
		l.Project = project
	}
	if env != "" {
		l.Env = env
	}
	text, err := json.MarshalIndent(struct {
		Project string `json:"project,omitempty"`
		Env     string `json:"env,omitempty"`
		File    string `json:"file,omitempty"`
		Address string `json:"address,omitempty"`
	}{l.Project, l.Env, l.File, l.Address}, "", "  ")
	if err != nil {
		return path, fmt.Errorf("encoding the project's file: %w", err)
	}
	return path, replace(path, append(text, '\n'))
}

// replace writes a file that is no secret, whole or not at all.
func replace(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".countersign-*")
	if err != nil {
		return fmt.Errorf("writing the project's file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing the project's file: %w", err), os.Remove(f.Name()))
		}
	}()
	_, err = f.ReadFrom(bytes.NewReader(text))
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
