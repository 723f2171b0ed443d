package tokensh

import "os"

// passedOn is Ctrl-C, which everybody at the console gets.
func passedOn() []os.Signal { return []os.Signal{os.Interrupt} }

// hand does nothing: the command has it already.
func hand(*os.Process, os.Signal, bool) {}

func exitCode(st *os.ProcessState) int { return st.ExitCode() }
