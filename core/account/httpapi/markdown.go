package httpapi

import (
	"html"
	"net/url"
	"strings"
)

// privacyPage makes a page of a privacy statement in Markdown: headings, paragraphs, lists, links, emphasis and code.
// All else stands there as it was written; HTML in it is text.
func privacyPage(markdown string) []byte {
	var b strings.Builder
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">" +
		"<meta name=\"viewport\" content=\"width=device-width\"><title>Privacy statement</title>" +
		"<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:45rem;margin:2rem auto;padding:0 1rem}</style>" +
		"</head><body>\n")
	markdown = strings.ToValidUTF8(strings.ReplaceAll(markdown, "\r\n", "\n"), "\uFFFD")
	m := marked{out: &b}
	for line := range strings.SplitSeq(markdown, "\n") {
		m.line(strings.TrimRight(line, " \t"))
	}
	m.end()
	b.WriteString("</body></html>\n")
	return []byte(b.String())
}

// marked is the state between lines: which element is open.
type marked struct {
	out  *strings.Builder
	open string // "p", "ul", "ol" or ""
}

func (m *marked) end() {
	switch m.open {
	case "p":
		m.out.WriteString("</p>\n")
	case "ul", "ol":
		m.out.WriteString("</li></" + m.open + ">\n")
	}
	m.open = ""
}

func (m *marked) line(line string) {
	text := strings.TrimLeft(line, " \t")
	if text == "" {
		m.end()
		return
	}
	if level := len(text) - len(strings.TrimLeft(text, "#")); level > 0 && level <= 6 &&
		strings.HasPrefix(text[level:], " ") {
		m.end()
		tag := "h" + string(rune('0'+level))
		m.out.WriteString("<" + tag + ">" + inline(strings.Trim(text[level:], " #")) + "</" + tag + ">\n")
		return
	}
	if list, rest := bullet(text); list != "" {
		if m.open == list {
			m.out.WriteString("</li>\n<li>" + inline(rest))
			return
		}
		m.end()
		m.open = list
		m.out.WriteString("<" + list + ">\n<li>" + inline(rest))
		return
	}
	if m.open == "" {
		m.open = "p"
		m.out.WriteString("<p>")
	} else {
		m.out.WriteByte('\n')
	}
	m.out.WriteString(inline(text))
}

// bullet reports which list a line belongs to, "" for none, and the rest of it.
func bullet(text string) (list, rest string) {
	for _, mark := range []string{"- ", "* ", "+ "} {
		if rest, found := strings.CutPrefix(text, mark); found {
			return "ul", rest
		}
	}
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	if digits > 0 && digits < 4 {
		if rest, found := strings.CutPrefix(text[digits:], ". "); found {
			return "ol", rest
		}
	}
	return "", ""
}

// inline makes what is inside of a line: code, emphasis, links. Everything goes through html.EscapeString.
func inline(text string) string {
	var b strings.Builder
	for text != "" {
		i := strings.IndexAny(text, "`*[<")
		if i < 0 {
			break
		}
		b.WriteString(html.EscapeString(text[:i]))
		text = text[i:]
		made, n := span(text)
		if n == 0 {
			made, n = html.EscapeString(text[:1]), 1
		}
		b.WriteString(made)
		text = text[n:]
	}
	b.WriteString(html.EscapeString(text))
	return b.String()
}

// span makes the element that text begins with, of n bytes; n is 0 when there is none.
func span(text string) (made string, n int) {
	between := func(open, end, tag string) (string, int) {
		rest, found := strings.CutPrefix(text, open)
		in, _, closed := strings.Cut(rest, end)
		if !found || !closed || strings.TrimSpace(in) == "" {
			return "", 0
		}
		return "<" + tag + ">" + html.EscapeString(in) + "</" + tag + ">", len(open) + len(in) + len(end)
	}
	switch text[0] {
	case '`':
		return between("`", "`", "code")
	case '*':
		if made, n := between("**", "**", "strong"); n > 0 {
			return made, n
		}
		return between("*", "*", "em")
	case '<':
		in, _, closed := strings.Cut(text[1:], ">")
		if closed && linkable(in) {
			return anchor(in, in), len(in) + 2
		}
	case '[':
		label, rest, found := strings.Cut(text[1:], "](")
		target, _, closed := strings.Cut(rest, ")")
		if found && closed && linkable(target) && !strings.ContainsAny(label, "[]") {
			return anchor(target, label), len(label) + len(target) + 4
		}
	}
	return "", 0
}

func anchor(target, label string) string {
	return `<a href="` + html.EscapeString(target) + `" rel="noreferrer">` + html.EscapeString(label) + "</a>"
}

// linkable reports whether a link leads to the web or to a mailbox, and nowhere else.
func linkable(target string) bool {
	u, err := url.Parse(target)
	if err != nil || strings.ContainsAny(target, " \t\"'<>") {
		return false
	}
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" || u.Scheme == "mailto" && u.Opaque != ""
}
