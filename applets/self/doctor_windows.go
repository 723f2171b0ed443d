package self

import (
	"context"
	"io/fs"
	"os"
)

func describeSocket(string, fs.FileInfo) string {
	return "the access list of its directory says who may use it"
}

func processRuns(pid int) bool {
	p, err := os.FindProcess(pid)
	if err == nil {
		_ = p.Release()
	}
	return err == nil
}

func processName(int) string { return "" }

func processReadable(int) (readable, known bool) { return false, false }

func (d *doctor) limits(context.Context, *findings) {}
