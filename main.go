// Command oidcbox is one binary for OpenID Connect tokens in research computing: agent, token client, verifier and
// development provider, chosen by the name it is called under or by its first argument.
package main

import (
	"os"

	"github.com/oidcbox/oidcbox/applets"
	"github.com/oidcbox/oidcbox/core/cli"
)

func main() { os.Exit(applets.Main(cli.OS())) }
