package otp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
	"github.com/oidcbox/oidcbox/testdata/services"
)

var cluster struct {
	once sync.Once
	pg   *services.Postgres
	err  error
}

const childVar = "OIDCBOX_OTP_CHILD"

// TestMain lets the test binary play other processes on one database.
func TestMain(m *testing.M) {
	if text := os.Getenv(childVar); text != "" {
		var c child
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = c.run(context.Background())
		}
		if err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if cluster.pg != nil {
		cluster.pg.Remove()
	}
	os.Exit(code)
}

func postgres(t testing.TB) string {
	t.Helper()
	cluster.once.Do(func() { cluster.pg, cluster.err = services.StartPostgreSQL() })
	if errors.Is(cluster.err, services.ErrNoPostgres) {
		services.Missing(t, cluster.err.Error())
	}
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	return cluster.pg.URL("")
}

func openPostgres(ctx context.Context, url, schema string) (*pgstore.Engine, error) {
	return pgstore.Open(ctx, func() (string, error) { return url, nil }, pgstore.Options{
		Role: "provisioner", Schema: schema, Connect: time.Minute, Statement: time.Minute, Patience: 2 * time.Minute,
	})
}

// engines are those that passwords are kept in, each with two handles for two nodes.
func engines(t *testing.T, test func(t *testing.T, one, other store.Engine)) {
	t.Run("memory", func(t *testing.T) {
		e := memstore.New()
		test(t, e, e)
	})
	t.Run("bbolt", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "private")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		e, err := boltstore.Open(t.Context(), filepath.Join(dir, "state.keys"), boltstore.Options{
			Role: "provisioner", Timeout: 10 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		test(t, e, e)
	})
	t.Run("postgres", func(t *testing.T) {
		url, schema := postgres(t), "t"+strings.ToLower(rand.Text())
		var nodes [2]store.Engine
		for i := range nodes {
			e, err := openPostgres(t.Context(), url, schema)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			nodes[i] = e
		}
		test(t, nodes[0], nodes[1])
	})
}

const (
	alice = "alice@https%3A%2F%2Fop.example"
	bob   = "bob@https%3A%2F%2Fop.example"
)

// yes is the judge for whom every login is right.
func yes(context.Context, Found) error { return nil }

func no(context.Context, Found) error { return ErrNotRight }

func redeem(t *testing.T, b *Book, presented secret.Text) (Found, error) {
	t.Helper()
	return b.Redeem(t.Context(), presented, yes)
}

func wantUnknown(t *testing.T, b *Book, presented secret.Text) {
	t.Helper()
	if _, err := redeem(t, b, presented); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v, want %v", err, ErrUnknown)
	}
}
