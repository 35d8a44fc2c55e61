// Package audit is the log of who did what: appended before any answer leaves,
// hash-chained, signed, and verifiable offline with the public key alone.
//
// # Promises
//
// Append returns once the bytes are with the kernel, so an acknowledged record
// survives the death of the process; AppendSync returns once they are on
// stable storage. A write that fails leaves nothing behind: the chain has no
// gap, no duplicate and no half line, and the log goes on by itself when the
// disk does. When the disk is nearly full the log refuses (fail closed) while
// there is still room to sign what it has. A failed fsync is final until the
// log is opened again, because nobody can say what it left on the disk.
//
// What verification proves, for a verifier who has a trusted copy of the public
// key: up to the last signature, no record was edited, added, cut or moved by
// anybody without the private key. Two things need more than the files. Records
// after the last signature (a second's worth by default) can be rewritten by
// who can write the files; and those after the last publication of HEAD (ten
// seconds' worth by default, none after a clean stop) can be cut off at a
// signature. And who replaces the whole folder, HEAD included, by
// an older copy of itself is found only by comparing with a head that was kept
// elsewhere: Config.Anchor and Config.ExpectHead do that with the store.
// Whoever holds the private key can write any history.
//
// # Files
//
//	00000000000000000001.log  segments, named by the number of their first record
//	HEAD                      the newest signed place; replaced in one step
//	audit.pub                 the public keys, oldest first: PEM, PKIX, ed25519
//	LOCK                      held by the one process that writes
//
// A segment is JSON lines. The first is its header, and then there are records
// and checkpoints; all segments but the last end with a checkpoint:
//
//	{"segment":{"format":1,"log":ID,"first":N,"prev":HEX,"hash":HEX,"from":T,"until":T,"time":T,"key":BASE64,"sig":BASE64},"chain":HEX16}
//	{"seq":N,"id":…, …,"chain":HEX16}
//	{"checkpoint":{"seq":N,"hash":HEX,"from":T,"until":T,"time":T,"key":KEYID,"sig":BASE64},"chain":HEX16}
//
// The body of a line is everything before `,"chain":`. The chain starts with 32
// zero bytes, runs over all lines of all segments, and is, after each line,
//
//	chain = SHA-256(chain before, body)
//
// of which the line shows the first 8 bytes. A header repeats the chain before
// it as prev, and the chain after the last record as hash. A checkpoint stands
// right after the record that it names, and hash is the chain after that
// record. from and until are the earliest and the latest time of a record: in
// a header, of the segment before; in a checkpoint, of the segment so far.
//
// A signature is ed25519 over
//
//	"countersign audit " KIND " v1" 0x00 ID-OF-THE-LOG 0x00 STATEMENT
//
// where KIND is segment, checkpoint, head or proof, and STATEMENT is the line up
// to `,"sig":`. HEAD is one such statement: {"head":{"log","first","seq","hash",
// "time","key","sig"}}; first is where the log begins, above 1 once closed
// segments were exported and pruned. A key's id is the first 16 hex digits of
// the SHA-256 of its 32 bytes.
//
// # Schema of a record
//
// Members stand in this order, without spaces; those that are empty or zero
// are left out, except seq, id and time. The same schema is what the command
// line and the native API print, there without chain.
//
//	seq           number  place in the log, from 1, without gaps
//	id            string  26 characters, ordered by time
//	time          string  RFC 3339, UTC, nine decimals: when the request was received
//	duration_ns   number  until the record was made
//	request_id    string
//	account       string  twelve digits
//	principal     object  kind, name, key_id, proof, account (when not the record's)
//	front         string
//	operation     string
//	resource      string  at most 2048 bytes
//	region        string
//	version       number
//	keys          array of strings, at most 512 and 32 KiB
//	keys_omitted  number  keys that were too many to list
//	change        string
//	source        string  address of the client
//	agent         string
//	outcome       string  ok, denied, refused, failed
//	error         string  kind/code
//	decision      object  id, effect, action, resource, policy, statement, missing (array)
//
// Strings are at most 256 bytes where nothing else is said, and longer ones are
// cut between characters. Invalid UTF-8 becomes U+FFFD. Quotes and backslashes
// are escaped with a backslash; control and format characters and U+2028 and
// U+2029 as \uXXXX; nothing else is. So a record is always one line, and there
// is one spelling of it: readers refuse any other.
//
// # What a caller must not do
//
// Put a value, a fingerprint or unvalidated text into a record: the log bounds
// and escapes, it does not judge. Give an answer after Append failed. Write,
// move or delete files of the folder: Export and Prune do.
package audit
