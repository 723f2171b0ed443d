package provisioner

// loginPath is where the pages are, below the address of the server.
const loginPath = "/login"

// redirectURI is where issuers send browsers back to.
func (s *settings) redirectURI() string { return s.url + loginPath + "/back" }
