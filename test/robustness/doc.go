// Package robustness holds what the real server binary must survive: being
// killed, a full disk, edited files, a log put back to an older copy, a stop
// under load; and that no value is found in anything that a run leaves behind.
//
// The binary is that of COUNTERSIGN_BIN, or is built for the test. KILLS is how
// often the server is killed, 20 by default.
package robustness
