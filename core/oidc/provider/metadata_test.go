package provider

import "testing"

// TestNullIsAbsent: some servers write out every member they know.
func TestNullIsAbsent(t *testing.T) {
	md, err := Parse([]byte(`{"issuer":"https://op.example","token_endpoint":"https://op.example/token",
		"registration_endpoint":null,"scopes_supported":null,"authorization_response_iss_parameter_supported":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if md.RegistrationEndpoint != "" || md.ScopesSupported != nil || md.ResponseIssSupported || md.TokenEndpoint == "" {
		t.Fatalf("%+v", md)
	}
	for _, doc := range []string{
		`{"issuer":null}`, `{"issuer":"https://op.example","token_endpoint":7}`,
		`{"issuer":"https://op.example","scopes_supported":[null]}`,
		`{"issuer":"https://op.example","authorization_response_iss_parameter_supported":"true"}`,
	} {
		if md, err := Parse([]byte(doc)); err == nil {
			t.Errorf("%s: %+v", doc, md)
		}
	}
}
