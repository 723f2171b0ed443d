package main

import (
	"errors"

	jose "github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"
)

// others are the libraries, each used as its documentation shows and told what to insist on.
func (t *token) others() ([]contestant, error) {
	jwx, err := t.jwx()
	return []contestant{
		{"golang-jwt v5, map of claims", t.golangJWT(func() jwt.Claims { return jwt.MapClaims{} }), 1},
		{"golang-jwt v5, struct of claims", t.golangJWT(func() jwt.Claims { return new(wlcgClaims) }), 1},
		{"go-jose v4", t.goJOSE(), 1},
		{"jwx v2 jwt.Parse", jwx, 1},
	}, err
}

// wlcgClaims has the claims of the token, for those who know them beforehand.
type wlcgClaims struct {
	jwt.RegisteredClaims
	Version   string   `json:"wlcg.ver"`
	Scope     string   `json:"scope"`
	ClientID  string   `json:"client_id"`
	Groups    []string `json:"wlcg.groups"`
	Assurance []string `json:"eduperson_assurance"`
	ACR       string   `json:"acr"`
}

func (t *token) golangJWT(claims func() jwt.Claims) func() error {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{t.alg}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(), jwt.WithTimeFunc(now))
	keys := map[string]any{"k": t.key}
	find := func(tok *jwt.Token) (any, error) {
		kid, _ := tok.Header["kid"].(string)
		if k := keys[kid]; k != nil {
			return k, nil
		}
		return nil, errors.New("no such key")
	}
	return func() error {
		_, err := parser.ParseWithClaims(t.text, claims(), find)
		return err
	}
}

func (t *token) goJOSE() func() error {
	algs := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.alg)}
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: t.key, KeyID: "k", Algorithm: t.alg}}}
	return func() error {
		tok, err := josejwt.ParseSigned(t.text, algs)
		if err != nil {
			return err
		}
		var std josejwt.Claims
		var all map[string]any
		if err := tok.Claims(&keys, &std, &all); err != nil {
			return err
		}
		if std.Expiry == nil { // the library does not insist on it
			return errRefused
		}
		return std.ValidateWithLeeway(josejwt.Expected{
			Issuer: issuer, AnyAudience: josejwt.Audience{audience}, Time: now(),
		}, 0)
	}
}

func (t *token) jwx() (func() error, error) {
	key, err := jwk.FromRaw(t.key)
	if err != nil {
		return nil, err
	}
	err = errors.Join(key.Set(jwk.KeyIDKey, "k"), key.Set(jwk.AlgorithmKey, jwa.SignatureAlgorithm(t.alg)))
	set := jwk.NewSet()
	err = errors.Join(err, set.AddKey(key))
	text := []byte(t.text)
	return func() error {
		_, err := jwxjwt.Parse(text, jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(issuer), jwxjwt.WithAudience(audience),
			jwxjwt.WithRequiredClaim("exp"), jwxjwt.WithClock(jwxjwt.ClockFunc(now)))
		return err
	}, err
}
