// Package auditdevice writes the audit log a second time, for other programs: as
// the JSON lines of Vault's audit devices, into files, sockets and syslog.
//
// The log of package audit stays the one that counts. A device is a rendering of
// it: one line of type request and one of type response for each record of the
// device's account, made of what the record says. What it does not say is left
// out, never made up. Access keys and accessors are there as HMACs with a salt of
// the device. A record holds no value, and so no line does.
//
// # Delivery
//
// A device follows the log behind the answers: nobody waits for it, and one that
// cannot be written stops nothing. It is tried again, with pauses up to a minute,
// and catches up. How far it came is kept in the store, so that it goes on there
// after a stop, a crash, or a year.
//
//   - A file has each record once. After a failure or a crash its end is read back:
//     half a line is cut off, and it goes on behind the last record that is in it.
//     A file that was moved away or deleted is made anew within a second; only when
//     the server is killed just then do the last seconds come twice.
//   - A socket and syslog have each record at least once, as far as anybody can
//     know: there is no receipt. When a connection breaks, what was sent in the ten
//     seconds before is sent again over the next one.
//   - Records that were moved out of the log before a device wrote them are read
//     from the folder of exports. No device holds the log back. Only what is in
//     neither place is lost, and that is said: in the listing, the log and a metric.
//
// # What is trusted
//
// Nothing that an account configures. A path is confined to one folder, in which
// each account but the home account has a folder of its own; no symbolic link is
// followed to leave it, and what is not a plain file is not written to. Sockets
// are dialled through the Dialer, which guards what is reached. What belongs to
// the machine, standard output, syslog and sockets named in the configuration, is
// for the home account. Text of strangers, such as a client's agent, cannot end a
// line: control and format characters are escaped.
package auditdevice

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Noun is the noun of changes to devices.
const Noun = "audit-device"

// Codes of errors.
const (
	CodeDevice = "audit-device"        // NotFound or Exists: the device
	CodeOption = "audit-device-option" // Invalid: an option that no device here has; Field names it
)

// Limits.
const (
	MaxDevices  = 10 // of an account
	maxName     = 128
	maxAbout    = 1000
	maxPrefix   = 256
	maxPath     = 512
	MaxHashed   = 1 << 20 // bytes of what is hashed
	maxOptions  = 20
	saltSize    = 32
	maxWait     = time.Minute // of write_timeout
	defaultWait = 2 * time.Second
)

// Dialer connects to addresses that an account named.
type Dialer interface {
	// Check refuses an address, as errs.Invalid, as far as it itself tells.
	Check(address string) error
	// Dial connects over "tcp" or "udp". The text of its errors is safe to show.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Config configures New.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
	Log     *audit.Log
	Mounts  *mount.Service
	Home    string // account that manages the server
	// Dir is the folder of files and of unix sockets. Empty: there are none.
	Dir string
	// Archive is the folder that the log is exported to. Empty: it is not.
	Archive string
	Dialer  Dialer    // nil: nothing is dialled
	Sockets []string  // unix sockets outside of Dir that the home account may name
	Stdout  io.Writer // nil: there is none to write to
	// Syslog are the sockets where the machine's syslog may listen. Default those of
	// Linux and the BSDs.
	Syslog []string
	Logger *slog.Logger // default slog.Default()

	wrap func(file) file // for tests
}

// Service is the operations on devices, and the job that writes to them. It is
// safe for concurrent use.
type Service struct {
	Config
	db     kv.DB
	woken  chan struct{}
	stdout sync.Mutex // held while a line is written there

	mu      sync.Mutex
	workers map[place]*worker
	lines   map[string]uint64 // that were written, by type
	lost    uint64            // records, of all devices
}

// New returns a Service. Nothing is written before Run.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Syslog == nil {
		c.Syslog = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}
	}
	return &Service{Config: c, db: c.Gate.DB, woken: make(chan struct{}, 1), workers: map[place]*worker{}, lines: map[string]uint64{}}
}

// place says which device.
type place struct{ account, name string }

// stored is a device as it is kept.
type stored struct {
	Type        string            `cbor:"1,keyasint"`
	Options     map[string]string `cbor:"2,keyasint,omitempty"` // as they were given
	Description string            `cbor:"3,keyasint,omitempty"`
	Local       bool              `cbor:"4,keyasint,omitempty"` // kept for its clients; means nothing here
	Salt        []byte            `cbor:"5,keyasint"`
	// Made tells a device from one of the same name before it. Since is the time
	// from which on records are written. Both are microseconds.
	Made  int64  `cbor:"6,keyasint"`
	Since int64  `cbor:"7,keyasint"`
	By    string `cbor:"8,keyasint"` // ARN
}

// hash is how a text stands in a device's lines.
func (d *stored) hash(text []byte) string {
	m := hmac.New(sha256.New, d.Salt)
	m.Write(text)
	return "hmac-sha256:" + hex.EncodeToString(m.Sum(nil))
}

// cursor is how far a device came.
type cursor struct {
	Made int64  `cbor:"1,keyasint"` // of the device
	Seq  uint64 `cbor:"2,keyasint"` // last record that was passed
	// Last is the last record that was written, by which it is seen that the log is
	// still the one that Seq counts.
	Last   uint64 `cbor:"3,keyasint,omitempty"`
	LastID string `cbor:"4,keyasint,omitempty"`
}

// entry leads from the list of all devices to one.
type entry struct {
	Made int64 `cbor:"1,keyasint"`
}

func (p place) key() kv.Key       { return kv.K(p.account, "audit-device", p.name) }
func (p place) cursorKey() kv.Key { return kv.K(p.account, "audit-device-at", p.name) }
func (p place) entryKey() kv.Key  { return kv.K("sys", "audit-device-of", p.account, p.name) }

// named is a device with its name.
type named struct {
	name string
	stored
}

// devices lists those of an account by name.
func devices(r kv.Reader, account string) (out []named, err error) {
	for e, err := range record.Scan[stored](r, kv.Prefix(kv.K(account, "audit-device"))) {
		if err != nil {
			return nil, err
		}
		strs, _, err := e.Key.Parts("sss")
		if err != nil {
			return nil, err
		}
		out = append(out, named{strs[2], e.Value})
	}
	return out, nil
}

// wake makes Run look now.
func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}
