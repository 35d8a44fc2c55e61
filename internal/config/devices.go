package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// checkDevices refuses a folder of audit devices in which they could write over
// what is the server's own.
func (c *Config) checkDevices() error {
	refuse := func(field, format string, args ...any) error {
		return fmt.Errorf("%s: "+format, append([]any{field}, args...)...)
	}
	dir, err := filepath.Abs(c.Audit.DevicesDir) // by which paths of devices are judged
	if err != nil {
		return refuse("audit.devices_dir", "%w", err)
	}
	c.Audit.DevicesDir = dir
	if within(c.Data, dir) {
		return refuse("audit.devices_dir", "the store is in that folder, or below it")
	}
	for _, own := range []string{c.Audit.Dir, c.Audit.ExportDir} {
		if own != "" && (within(dir, own) || within(own, dir)) {
			return refuse("audit.devices_dir", "the audit log is in that folder, or around it")
		}
	}
	for _, f := range append(c.Rotation.private(), c.Seal.Keyfile, c.Seal.Passphrase.File, c.TLS.Key, c.SMTP.PasswordFile) {
		if f != "" && within(f, dir) {
			return refuse("audit.devices_dir", "a key or password of the server is in that folder")
		}
	}
	for _, f := range c.Rotation.programs() {
		if within(f, dir) {
			return refuse("audit.devices_dir", "a command of a rotation is in that folder")
		}
	}
	for _, s := range c.Audit.DeviceSockets {
		if !filepath.IsAbs(s) || filepath.Clean(s) != s {
			return refuse("audit.device_sockets", "%q is not the whole path of a socket", s)
		}
	}
	return nil
}

// within reports whether a path is a folder, or below it.
func within(path, dir string) bool {
	path, err := filepath.Abs(path)
	if err != nil {
		return true // the working directory is gone: nobody can say
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return true
	}
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
