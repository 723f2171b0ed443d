package names

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// MaxLength bounds a local name, in bytes: utmp and useradd(8) take no more.
const MaxLength = 32

// HardFloor is the lowest number any configuration can open. Systems of before 2014 began people's numbers there.
const HardFloor = 500

const (
	defaultMin = 1000
	defaultMax = 60000
)

// Check reports whether name is in the alphabet of local names, for users and groups alike. The error is ErrAlphabet.
// What passes is safe as an argument (it never begins with "-"), as a part of a path, in passwd, in an LDAP filter.
func Check(name string) error {
	if len(name) == 0 || len(name) > MaxLength || !letter(name[0]) && name[0] != '_' {
		return ErrAlphabet
	}
	telling := false
	for i := range len(name) {
		switch c := name[i]; {
		case letter(c) || digit(c):
			telling = true
		case c != '_' && c != '-' && c != '.':
			return ErrAlphabet
		}
	}
	if !telling {
		return ErrAlphabet
	}
	return nil
}

func letter(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool  { return '0' <= c && c <= '9' }

// Limits say which names and numbers a federated account and its groups may have. The zero value is safe: numbers from
// 1000 to 60000, and no name of the system.
type Limits struct {
	MinUID, MaxUID uint32   // 0: 1000, 60000. A minimum below HardFloor counts as HardFloor.
	MinGID, MaxGID uint32   // likewise
	Reserved       []string // further names, compared exactly
}

// CheckName is Check and refuses reserved names as well. The error is ErrAlphabet or ErrReserved. It holds for users
// and for groups: a user's name is often its group's.
func (l Limits) CheckName(name string) error {
	if err := Check(name); err != nil {
		return err
	}
	if reserved(name) || slices.Contains(l.Reserved, name) {
		return fmt.Errorf("%w: %s", ErrReserved, name)
	}
	return nil
}

// CheckUID refuses a uid that a federated account must not have. The error is ErrFloor.
func (l Limits) CheckUID(uid uint32) error { return between("uid", uid, l.MinUID, l.MaxUID) }

// CheckGID refuses a gid that no claim may lead to. The error is ErrFloor.
func (l Limits) CheckGID(gid uint32) error { return between("gid", gid, l.MinGID, l.MaxGID) }

// UIDRange is the range that CheckUID goes by.
func (l Limits) UIDRange() (low, high uint32) { return bounds(l.MinUID, l.MaxUID) }

// GIDRange is the range that CheckGID goes by.
func (l Limits) GIDRange() (low, high uint32) { return bounds(l.MinGID, l.MaxGID) }

func bounds(low, high uint32) (uint32, uint32) {
	if low == 0 {
		low = defaultMin
	}
	if high == 0 {
		high = defaultMax
	}
	return max(low, HardFloor), high
}

func between(what string, n, low, high uint32) error {
	if low, high = bounds(low, high); n < low || n > high || nobody(n) {
		return fmt.Errorf("%w: %s %d", ErrFloor, what, n)
	}
	return nil
}

// nobody has the numbers with a meaning of their own: nobody of 16 and 32 bits, and "do not change".
func nobody(n uint32) bool { return n == 65534 || n == 65535 || n >= math.MaxUint32-1 }

// reserved knows names of the system that may not exist yet: a group docker made today would be root's group on the
// day docker is installed. What exists is refused by its number.
func reserved(name string) bool {
	for _, prefix := range []string{"systemd-", "oidcbox", "docker", "libvirt", "incus", "lxd"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	_, found := slices.BinarySearch(reservedNames[:], name)
	return found
}

// reservedNames are users and groups of Debian, Red Hat, SUSE, Arch and of services usual on clusters, sorted.
var reservedNames = [...]string{
	"_apt", "_chrony", "_chronyd", "_flatpak", "_nobody", "_root", "_rpc", "_ssh", "_systemd", "abrt", "adm",
	"admin", "administrator", "admins", "all", "almalinux", "amavis", "anonymous", "ansible", "any", "apache",
	"apt", "audio", "avahi", "avahi-autoipd", "azureuser", "backup", "beegfs", "bin", "bind", "bluetooth", "bpf",
	"buildkit", "caddy", "cdrom", "centos", "ceph", "cgred", "chef", "chrony", "cinder", "clamav", "cloud-user",
	"cockpit-ws", "cockpit-wsinstance", "colord", "condor", "containerd", "core", "couchdb", "crio", "crontab",
	"daemon", "dba", "dbus", "dcache", "debian", "debian-exim", "default", "dialout", "dip", "disk", "dnsmasq",
	"docker", "domain-admins", "dovecot", "dovenull", "ec2-user", "editors", "elasticsearch", "enterprise-admins",
	"etcd", "everyone", "exim", "fax", "fedora", "feudal", "floppy", "forgejo", "ftp", "fuse", "fwupd-refresh",
	"games", "gdm", "geoclue", "geoip", "git", "gitea", "gitlab", "gitlab-runner", "glance", "gnats", "gpfs",
	"grafana", "haclient", "hacluster", "hadoop", "halt", "haproxy", "hdfs", "http", "httpd", "icinga", "influxdb",
	"input", "ipausers", "irc", "jackuser", "jenkins", "jetty", "k3s", "kmem", "kube", "kubernetes", "kvm",
	"landscape", "ldap", "lightdm", "list", "locate", "lock", "log", "lp", "lpadm", "lpadmin", "lsfadmin",
	"lustre", "lxd", "mail", "maildrop", "mailman", "mailnull", "man", "man-db", "mariadb", "mem", "memcache",
	"memcached", "messagebus", "microk8s", "mlocate", "mock", "mongodb", "motley-cue", "motley_cue", "munge",
	"mysql", "nagios", "named", "netadmin", "netdev", "network", "news", "nfs", "nfsnobody", "nginx", "nobody",
	"nogroup", "none", "nova", "nrpe", "nslcd", "ntp", "ntpsec", "nut", "oidc", "oinstall", "opc", "opendkim",
	"opendmarc", "openldap", "operator", "oprofile", "optical", "oracle", "ossec", "pbs", "pbsadmin", "pbsdata",
	"pcap", "pcp", "perf_users", "pesign", "pgbouncer", "pi", "pkg", "plocate", "plugdev", "podman", "polkitd",
	"pollinate", "postdrop", "postfix", "postgres", "power", "printadmin", "prometheus", "proxy", "pulse",
	"pulse-access", "pulse-rt", "puppet", "qemu", "rabbitmq", "realtime", "redis", "render", "rfkill", "rke2",
	"rocky", "root", "root-squash", "rpc", "rpcuser", "rpm", "rtkit", "salt", "sambashare", "saned", "sasl",
	"saslauth", "scanner", "sddm", "self", "service", "services", "setuid", "sgeadmin", "sgx", "shadow",
	"shutdown", "slapd", "slocate", "slurm", "slurmadm", "smmsp", "smmta", "spamd", "spark", "squid", "src", "ssh",
	"ssh_keys", "sshd", "ssl-cert", "sssd", "stack", "staff", "stapdev", "stapsys", "stapusr", "statd", "storage",
	"storm", "su", "sudo", "sudoers", "suid", "supergroup", "superuser", "sync", "sys", "syslog", "system", "tape",
	"tcpdump", "telegraf", "tomcat", "toor", "torque", "trusted", "tsadmins", "tss", "tsusers", "tty", "ubuntu",
	"uml-net", "unbound", "usbmux", "users", "utmp", "uucp", "uuidd", "vagrant", "varnish", "vboxsf", "vboxusers",
	"video", "vmail", "voice", "wazuh", "wbpriv", "wheel", "winbindd_priv", "wireshark", "www", "www-data",
	"xrootd", "yarn", "zabbix", "zfs",
}
