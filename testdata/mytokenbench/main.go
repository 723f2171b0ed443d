// Command mytokenbench measures a mytoken server as a process: access tokens and introspections per second, with a
// provider that answers at once and with one that takes 300 ms, its start with many mytokens, and what they take on disk; three servers on PostgreSQL behind nginx beside one;
// beside what the machine can do at most. The provider, which signs with ES256, and the clients are in this process, and
// so take their part of the same processors.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

// plan is what to measure, and how long.
type plan struct {
	oidcbox string // the binary
	dir     string // on the disk that is measured
	tokens  int
	many    int // for the start
	round   time.Duration
	rounds  int
	only    string // one kind of figures; "": all
}

func main() {
	var p plan
	flag.StringVar(&p.oidcbox, "oidcbox", "bin/oidcbox", "the binary")
	flag.StringVar(&p.dir, "dir", "", "directory for the state; a new one below the working directory when empty")
	flag.IntVar(&p.tokens, "tokens", 10_000, "distinct mytokens, half of them with a limit of uses")
	flag.IntVar(&p.many, "many", 100_000, "mytokens for the start; 0: not measured")
	flag.DurationVar(&p.round, "round", 3*time.Second, "length of a round")
	flag.IntVar(&p.rounds, "rounds", 3, "rounds of each figure, of which the median counts")
	flag.StringVar(&p.only, "only", "", "one of access, introspect, beside, logins, cluster, start; default: all")
	if os.Getenv(bareVar) != "" {
		bareServer()
		return
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mytokenbench:", err)
		os.Exit(1)
	}
}

func (p plan) run(ctx context.Context) error {
	if p.dir == "" {
		dir, err := os.MkdirTemp(".", ".mytokenbench-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p.dir = dir
	}
	if err := p.physical(ctx); err != nil {
		return fmt.Errorf("measure the machine: %w", err)
	}
	op, err := startProvider()
	if err != nil {
		return fmt.Errorf("start the provider: %w", err)
	}
	defer op.close()
	if p.wants("access") || p.wants("introspect") || p.wants("beside") || p.wants("logins") {
		if err := p.serving(ctx, op); err != nil {
			return fmt.Errorf("measure the server: %w", err)
		}
	}
	if p.wants("cluster") {
		if err := p.sharing(ctx, op); err != nil {
			return fmt.Errorf("measure several servers: %w", err)
		}
	}
	if p.wants("start") && p.many > 0 {
		if err := p.starting(ctx, op); err != nil {
			return fmt.Errorf("measure the start: %w", err)
		}
	}
	return nil
}

func (p plan) wants(what string) bool { return p.only == "" || p.only == what }

func report(format string, args ...any) { fmt.Printf(format+"\n", args...) }
