module github.com/oidcbox/oidcbox/testdata/compat/go

go 1.26.0

require github.com/indigo-dc/liboidcagent-go v0.5.0

require (
	github.com/oidc-mytoken/api v0.8.0 // indirect
	golang.org/x/crypto v0.1.0 // indirect
	golang.org/x/sys v0.1.0 // indirect
)
