// Package completion is the command "countersign completion".
package completion

import (
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
)

// shells are those that have a completion.
var shells = []string{"bash", "zsh", "fish"}

// NewCmd makes the command.
func NewCmd(e *env.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands, flags and names of secrets",
		Long: `Print a script that completes commands, flags and names of secrets. Names are
those that the server of the shell's environment lists for you; without an
answer within a second none are offered.`,
		Example: `  source <(countersign completion bash)
  countersign completion zsh > "${fpath[1]}/_countersign"
  countersign completion fish > ~/.config/fish/completions/countersign.fish`,
		ValidArgs: shells,
		Args:      env.Args("SHELL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), e.Streams.Out
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return exit.Usagef("there is no completion for %q; there is one for %s", args[0], strings.Join(shells, ", "))
		},
	}
}
