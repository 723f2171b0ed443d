package login

// lockDir does nothing: whoever writes last wins there, with a whole file.
func lockDir(string) (unlock func()) { return func() {} }
