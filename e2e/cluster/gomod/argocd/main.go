// Command argocd is two of Argo CD's components, told apart by the name that it is started under: the one that compares and applies, and the one
// that reads repositories. The program that is released holds the user interface and the command line too.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
)

func main() {
	var command *cobra.Command
	switch name := filepath.Base(os.Args[0]); name {
	case "argocd-application-controller":
		command = controller.NewCommand()
	case "argocd-repo-server":
		command = reposerver.NewCommand()
	default:
		fmt.Fprintln(os.Stderr, name+" is none of the two")
		os.Exit(2)
	}
	if command.Execute() != nil {
		os.Exit(1)
	}
}
