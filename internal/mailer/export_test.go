package mailer

// Compose is what Send sends.
func Compose(from string, msg Message) ([]byte, error) {
	return (&Mailer{Config: Config{From: from}}).compose(msg)
}
