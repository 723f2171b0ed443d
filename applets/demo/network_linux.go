package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"
)

// network is a network namespace for jobs: another machine as far as addresses go. It is joined to this one by a pair of
// interfaces with addresses that are set aside for such things (RFC 2544).
type network struct {
	name                 string
	host, job, elsewhere netip.Addr
	outside, within      string // the interfaces
}

const (
	networkBits = 29
	networkWait = 10 * time.Second
)

// openNetwork makes one, or says why there is none.
func openNetwork(ctx context.Context) (*network, string) {
	if os.Geteuid() != 0 {
		return nil, "a network of its own takes root"
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, "a network of its own takes the program ip (iproute2)"
	}
	var b [3]byte
	_, _ = rand.Read(b[:])
	id := fmt.Sprintf("%x", b)
	first := netip.AddrFrom4([4]byte{198, 18, b[1], b[2] &^ 7})
	n := &network{name: "oidcbox-demo-" + id, outside: "obx" + id + "a", within: "obx" + id + "b"}
	n.host = first.Next()
	n.job = n.host.Next()
	n.elsewhere = n.job.Next()
	for _, line := range []string{
		"netns add " + n.name,
		"link add " + n.outside + " type veth peer name " + n.within,
		"link set " + n.within + " netns " + n.name,
		"addr add " + n.mask(n.host) + " dev " + n.outside,
		"link set " + n.outside + " up",
		"-n " + n.name + " addr add " + n.mask(n.job) + " dev " + n.within,
		"-n " + n.name + " link set lo up",
		"-n " + n.name + " link set " + n.within + " up",
	} {
		if err := ip(ctx, line); err != nil {
			n.close()
			return nil, "a network of its own is not allowed here: " + oneLine(err.Error())
		}
	}
	return n, ""
}

func (n *network) mask(a netip.Addr) string { return netip.PrefixFrom(a, networkBits).String() }

func ip(ctx context.Context, line string) error {
	ctx, cancel := context.WithTimeout(ctx, networkWait)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// inside is a command line that runs in the network.
func (n *network) inside(line []string) []string {
	return append([]string{"ip", "netns", "exec", n.name}, line...)
}

// move gives the job another address.
func (n *network) move(ctx context.Context, to netip.Addr) error {
	if err := ip(ctx, "-n "+n.name+" addr flush dev "+n.within); err != nil {
		return err
	}
	return ip(ctx, "-n "+n.name+" addr add "+n.mask(to)+" dev "+n.within)
}

// close removes the network, also after the context of the walk has ended.
func (n *network) close() {
	_ = ip(context.Background(), "link del "+n.outside)
	_ = ip(context.Background(), "netns del "+n.name)
}
