package env

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Versions adds the flag --version, which takes numbers of versions.
func Versions(cmd *cobra.Command, to *[]uint64, usage string) {
	cmd.Flags().Var((*numbers)(to), "version", usage)
}

type numbers []uint64

func (n *numbers) Type() string { return "number" }

func (n *numbers) String() string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(*n), "[]"), " ", ",")
}

// Set takes one number, or several behind commas.
func (n *numbers) Set(s string) error {
	for part := range strings.SplitSeq(s, ",") {
		v, err := strconv.ParseUint(part, 10, 64)
		if err != nil || v == 0 {
			return errors.New("versions are numbers from 1 on")
		}
		*n = append(*n, v)
	}
	return nil
}

// Spell is numbers of versions in words: "version 2", "versions 2,3".
func Spell(versions []uint64) string {
	n := numbers(versions)
	if len(versions) == 1 {
		return "version " + n.String()
	}
	return "versions " + n.String()
}
