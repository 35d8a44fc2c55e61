package postgresql

// What the tests of the package look at from outside.
var (
	VerifierWith = verifierWith
	Prepare      = prepare
)
