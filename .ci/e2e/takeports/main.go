// Command takeports listens on the given loopback ports ("8080", "15000-15100"), both address families, until it is
// killed.
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

func main() {
	var held []net.Listener
	for _, arg := range os.Args[1:] {
		first, last, isRange := strings.Cut(arg, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil {
			fmt.Fprintln(os.Stderr, "not a port or range:", arg)
			os.Exit(2)
		}
		for p := from; p <= to; p++ {
			for _, host := range []string{"127.0.0.1", "::1"} {
				l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(p)))
				if err != nil {
					fmt.Fprintln(os.Stderr, err) // taken by somebody else: just as good
					continue
				}
				held = append(held, l)
			}
		}
	}
	fmt.Println("held:", len(held))
	select {}
}
