package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/oidcbox/oidcbox/core/cli"
)

// notice is what the process that stays tells the one that detached it, through its standard output.
type notice struct {
	Socket   string   `json:"socket,omitempty"`
	PID      int      `json:"pid,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Error    string   `json:"error,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Code     int      `json:"code,omitempty"`
}

// announce says that the agent answers.
func (d *daemon) announce() error {
	n := notice{Socket: d.socks.path, PID: os.Getpid(), Warnings: d.warn}
	if !d.cmd.Background {
		d.cmd.show(d.env, n)
		return nil
	}
	if err := json.NewEncoder(d.env.Stdout).Encode(n); err != nil {
		return fmt.Errorf("say that the agent is ready: %w", err)
	}
	return leaveTerminal(d.cmd.LogStderr)
}

// announceFailure passes on why there is no agent; the exit code goes with it.
func (d *daemon) announceFailure(err error) error {
	if !d.cmd.Background {
		return err
	}
	n := notice{Error: err.Error(), Warnings: d.warn, Code: cli.No}
	var coded *cli.Error
	if errors.As(err, &coded) {
		n.Code, n.Hint = coded.Code, coded.Hint
	}
	if err := json.NewEncoder(d.env.Stdout).Encode(n); err != nil {
		return err
	}
	return cli.Exit(n.Code)
}

// show prints the lines for the shell, or JSON. Everything else goes to standard error.
func (c *Cmd) show(env *cli.Env, n notice) {
	for _, w := range n.Warnings {
		env.Warn("%s", w)
	}
	if c.JSON {
		_, _ = io.WriteString(env.Stdout, jsonLines(n))
		return
	}
	_, _ = fmt.Fprintf(env.Stdout, "OIDC_SOCK=%s; export OIDC_SOCK;\nOIDCD_PID=%d; export OIDCD_PID;\n",
		cli.ShellQuote(n.Socket), n.PID)
	if !c.Quiet {
		_, _ = io.WriteString(env.Stdout, "echo Agent pid $OIDCD_PID\n")
	}
}

// jsonLines is the object as the original prints it: tabs, the pid as a string, no newline at the end.
func jsonLines(n notice) string {
	path, err := json.Marshal(n.Socket)
	if err != nil {
		path = []byte(`""`)
	}
	return fmt.Sprintf("{\n\t\"socket\":\t%s,\n\t\"dpid\":\t\"%d\"\n}", path, n.PID)
}
