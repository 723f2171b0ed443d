package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Error is a refusal that a client is told of, in motley-cue's words.
type Error struct {
	Status int
	// Detail is the body {"detail":…}. When it is "", Name and Description make the other kind of body.
	Detail            string
	Name, Description string // "Unauthenticated" or "Forbidden", and a sentence
	Details           any    // error_details, nil for none
	RetryAfter        time.Duration
	// Err is why, for the log and the audit alone.
	Err error
}

func (e *Error) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Description
	}
	if e.Err != nil {
		return fmt.Sprintf("%s (%d): %v", text, e.Status, e.Err)
	}
	return fmt.Sprintf("%s (%d)", text, e.Status)
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }

// Reason is one line for the log.
func (e *Error) Reason() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return e.Error()
}

func detail(status int, text string) *Error { return &Error{Status: status, Detail: text} }

func unauthenticated(description string, err error) *Error {
	return &Error{Status: http.StatusUnauthorized, Name: "Unauthenticated", Description: description, Err: err}
}

func forbidden(description string, details any, err error) *Error {
	return &Error{
		Status: http.StatusForbidden, Name: "Forbidden", Description: description, Details: details, Err: err,
	}
}

type detailBody struct {
	Detail string `json:"detail"`
}

type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Details     any    `json:"error_details,omitempty"`
}

// fail tells the client of a failure: an *Error as it is, anything else as the text that motley-cue has for it.
func (a *API) fail(c *call, op string, err error) {
	var e *Error
	if !errors.As(err, &e) {
		a.o.Log.Error("request failed", "op", op, "err", err)
		c.text(http.StatusInternalServerError, "text/plain; charset=utf-8", []byte("Internal Server Error"))
		return
	}
	if e.Status >= http.StatusInternalServerError {
		a.o.Log.Error("request failed", "op", op, "err", e)
	} else {
		a.o.Log.Debug("request refused", "op", op, "err", e)
	}
	if e.RetryAfter > 0 {
		c.w.Header().Set("Retry-After", strconv.FormatInt(took(e.RetryAfter), 10))
	}
	var body any = errorBody{e.Name, e.Description, e.Details}
	if e.Detail != "" {
		body = detailBody{e.Detail}
	}
	if err := c.json(e.Status, body); err != nil {
		a.o.Log.Error("encode a refusal", "op", op, "err", err)
	}
}

const typeJSON = "application/json"

// json sends v as motley-cue does: no blanks, no line end, nothing escaped that needs not be.
func (c *call) json(status int, v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	c.text(status, typeJSON, b)
	return nil
}

func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the answer: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func (c *call) text(status int, kind string, b []byte) {
	c.w.Header().Set("Content-Type", kind)
	c.send(status, b)
}

func (c *call) send(status int, b []byte) {
	c.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b) // that the caller has gone away is not ours to report
}

// member is one of an object whose order clients see.
type member struct {
	Name  string
	Value any
}

// ordered is an object with its members in this order.
type ordered []member

// MarshalJSON writes the members in order.
func (o ordered) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := encode(m.Name)
		if err != nil {
			return nil, err
		}
		value, err := encode(m.Value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}
