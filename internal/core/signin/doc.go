// Package signin lets people in: by a password and a second factor, or by the
// word of an identity provider. What it gives is a session, whose access token
// proves a user as an access key does.
//
// # What is kept
//
// A password is kept as its Argon2id hash with the parameters it was made with.
// It is taken as the bytes it came in: no Unicode normalization is applied, so
// two spellings of an accented letter are two passwords. Tokens, invitations
// and recovery codes are random, and only keyed hashes of them are kept. The
// secret of a time-based code has to be kept itself, encrypted like every
// record. All of it is bound to when the user was made: a user of the same name
// that is made later inherits nothing.
//
// # Sessions
//
// An access token lives for a quarter of an hour and is looked up in the store
// at each request, with its user: a session that was revoked, and one of a user
// who was disabled or deleted, is over at the next request. A refresh token is
// used once: it gives the next pair. One that is used again later than a lost
// answer explains was copied, and ends the session. That the same answer can be
// given again within the grace, while only hashes are kept, is because the next
// pair is derived from the token that was shown, with a key of the server.
//
// # Guessing
//
// An attempt counts against the name before the password is looked at, so that
// many at once are not better than one after the other. After five, each has to
// wait longer, up to a quarter of an hour. The counters stand in a table of
// fixed size under a keyed hash of the name, whether that exists or not. A
// client that signed in before holds a device token that is not subject to
// them, and an address that has not tried the name yet gets one attempt, of ten
// in a quarter of an hour. So who guesses from ten addresses and more can delay
// a person on a new device, and never on one that is known. An invitation and an
// identity provider are not subject to the counters either. Hashing is bounded in number, because each takes much memory.
//
// An unknown name is answered as a wrong password is, after as much work.
//
// As everywhere in the core, the exported methods authorize and audit; only
// Authenticate does not.
package signin
