package agentservice

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
)

// options are what a file of options says.
type options struct {
	agent        string   // program, "" for ours
	agentOptions []string // for it
	withX        bool     // start-from-x starts one
	sameOptions  bool     // restart uses those of the running agent
}

const (
	optionsFile = "oidc-agent-service.options"
	maxOptions  = 64 << 10
)

// findOptions reads the system's file and then the person's, which may change what the first one says.
func findOptions(env *cli.Env) (options, error) {
	o := options{withX: true, sameOptions: true}
	dirs := []string{login.SystemDir}
	person, found, err := login.FindDir(env.Getenv, func(path string) bool {
		fi, err := os.Stat(path)
		return err == nil && fi.IsDir()
	})
	if err == nil && found {
		dirs = append(dirs, person)
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, optionsFile)
		b, err := readSmall(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return options{}, fmt.Errorf("read options of the service: %w", err)
		}
		ignored, err := o.apply(string(b))
		if err != nil {
			const hint = "write it as NAME=value or NAME='words'; no shell reads this file"
			return options{}, cli.Fail(cli.No, fmt.Errorf("%s: %w", path, err), hint)
		}
		for _, name := range ignored {
			env.Warn("%s sets %s, which nothing here uses", path, name)
		}
	}
	return o, nil
}

func readSmall(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxOptions+1))
	if err == nil && len(b) > maxOptions {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxOptions)
	}
	return b, err
}

// apply takes the assignments of a file. ignored are the names it assigns to that mean nothing here.
func (o *options) apply(text string) (ignored []string, err error) {
	for i, line := range strings.Split(text, "\n") {
		name, value, ok, err := cli.ParseAssignment(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if !ok {
			continue
		}
		switch name {
		case "OIDC_AGENT":
			o.agent = value
		case "OIDC_AGENT_OPTS":
			o.agentOptions = strings.Fields(value)
		case "START_AGENT_WITH_XSESSION":
			o.withX = value == "True"
		case "OIDC_AGENT_RESTART_WITH_SAME_OPTS":
			o.sameOptions = value == "True"
		default:
			ignored = append(ignored, name)
		}
	}
	return ignored, nil
}
