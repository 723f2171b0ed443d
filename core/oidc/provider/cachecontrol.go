package provider

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxAge reads Cache-Control (RFC 9111 section 5.2.2): 0 when it forbids caching, says nothing or cannot be read.
func maxAge(h http.Header) time.Duration {
	var age time.Duration
	for _, line := range h.Values("Cache-Control") {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			switch strings.ToLower(name) {
			case "no-store", "no-cache":
				return 0
			case "max-age":
				n, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
				if err == nil && n > 0 {
					age = time.Duration(n) * time.Second
				}
			}
		}
	}
	return age
}
