package signin

import "strings"

// common are passwords, and what is left of them without digits and signs, that
// are long enough and yet tried first.
var common = func() map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(`
		password passwordpassword passwd passphrase mypassword thepassword newpassword changeme changemenow
		changeit letmein letmeinnow welcome welcomehome welcomeback iloveyou iloveyouforever qwertyuiop
		qwertyqwerty qwerty qwertyuiopasdfghjklzxcvbnm asdfghjkl zxcvbnm asdfasdfasdf abcdefghijkl
		abcdefghijklm abcdefghijklmnop abcdefghijklmnopqrstuvwxyz administrator admin adminadmin
		adminpassword rootpassword rootroot superuser supersecret secret secretsecret topsecret
		mysecretpassword countersign countersigned secretsmanager sunshine princess football baseball
		basketball superman batman dragon monkey shadow master trustno trustnoone starwars whatever
		computer internet michael jennifer charlie liverpool chelsea arsenal manchester correcthorsebatterystaple
		correct-horse-battery-staple correct horse battery staple defaultpassword temporary temporarypassword
		testtesttest testpassword passwordtest helloworld hellohello goodmorning summer winter spring autumn
		company companypassword winteriscoming donttellanyone nopassword notapassword
		123456789012 1234567890123 12345678901234 123456789123 1234567890ab 1q2w3e4r5t6y 1qaz2wsx3edc
		q1w2e3r4t5y6 qazwsxedcrfv 1qaz2wsx3edc4rfv zaq12wsxcde3 000000000000 987654321098 098765432109
		`) {
		out[w] = true
	}
	return out
}()
