// Package script holds end-to-end scripts of the real binary: each starts a
// server of its own and uses it as an operator, a developer and an auditor do.
//
// The scripts are testdata/*.txtar, in the language of testscript, with these
// commands besides:
//
//	serve [ARG...]      starts "countersign dev" (or, with arguments, those of
//	                    "countersign"), waits until it is ready, and points the
//	                    script at it
//	halt                ends it with SIGTERM and asks for exit code 0
//	crash               ends it with SIGKILL
//	exits CODE COMMAND  asks for an exit code
//	capture VAR REGEXP  sets a variable to the first group in standard output or
//	                    standard error
//	absent TEXT PATH... asks that no file below the paths holds the text
//	flip FILE OFFSET    inverts one bit of a file, from its end when negative
package script
