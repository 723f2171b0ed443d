package proto

import (
	"reflect"
	"testing"
)

// simpleRequests are what programs send, and what only looks like it.
func simpleRequests() map[string]bool {
	return map[string]bool{
		`{"request":"access_token","account":"a","min_valid_period":0,"application_hint":"oidc-token"}`: true,
		`{"request":"access_token","issuer":"https://op.example.org/","min_valid_period":-1}`:           true,
		" {\t\"request\" : \"check\" } ":                          true,
		`{"request":""}`:                                          true,
		`{"request":"a","min_valid_period":60}`:                   true,
		`{}`:                                                      false,
		`{"request":"a",}`:                                        false,
		`{"request":"a"}x`:                                        false,
		`{"request":"a"`:                                          false,
		`{"request":"a","request":"a"}`:                           false,
		`{"request":"a\u0062"}`:                                   false,
		`{"request":"ä"}`:                                         false,
		"{\"request\":\"a\nb\"}":                                  false,
		`{"request":1}`:                                           false,
		`{"request":"a","config":{}}`:                             false,
		`{"request":"a","min_valid_period":007}`:                  false,
		`{"request":"a","min_valid_period":-0}`:                   false,
		`{"request":"a","min_valid_period":1.5}`:                  false,
		`{"request":"a","min_valid_period":1e3}`:                  false,
		`{"request":"a","min_valid_period":-}`:                    false,
		`{"request":"a","min_valid_period":99999999999999999999}`: false,
		`{"request":"a" "account":"b"}`:                           false,
		`[]`:                                                      false,
	}
}

func TestReadSimple(t *testing.T) {
	for text, want := range simpleRequests() {
		if r, ok := readSimple([]byte(text)); ok != want {
			t.Errorf("%s: %+v, %v, want %v", text, r, ok, want)
		}
	}
}

// FuzzReadSimple: there are two readers of one message, and they must not see two requests.
func FuzzReadSimple(f *testing.F) {
	for text := range simpleRequests() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := readSimple(b)
		if !ok {
			return
		}
		if long, err := readRequest(b); err != nil || !reflect.DeepEqual(r, long) {
			t.Errorf("%q: %+v here, %+v, %v there", b, r, long, err)
		}
	})
}
