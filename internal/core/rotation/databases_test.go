package rotation_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"countersign/internal/rotator"
	"countersign/internal/rotator/postgresql"
)

// databases are the real ones that scripts/with-databases has started.
func databases() (list []subject) {
	if os.Getenv("COUNTERSIGN_TEST_POSTGRES") != "" {
		list = append(list, subject{"postgresql", postgres, preparePostgres("single")}, subject{"postgresql-pair", postgres, preparePostgres("alternating")})
	}
	return list
}

func postgres(string) rotator.Kind { return postgresql.Kind() }

// value is that of a database's secret.
func value(t *testing.T, members map[string]any) string {
	t.Helper()
	b, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func preparePostgres(mode string) func(t *testing.T, dir string) (map[string]string, string, string, func() string) {
	return func(t *testing.T, _ string) (map[string]string, string, string, func() string) {
		admin, err := url.Parse(os.Getenv("COUNTERSIGN_TEST_POSTGRES"))
		if err != nil {
			t.Fatal("COUNTERSIGN_TEST_POSTGRES is no URL")
		}
		conn, err := pgx.Connect(t.Context(), admin.String())
		if err != nil {
			t.Fatal(err)
		}
		user := "kill_" + strings.ToLower(rand.Text()[:10])
		if _, err := conn.Exec(t.Context(), "CREATE ROLE "+user+" LOGIN PASSWORD 'first-"+user+"'"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for _, u := range []string{user + "_clone", user} {
				_, _ = conn.Exec(context.Background(), "DROP ROLE IF EXISTS "+u)
			}
			_ = conn.Close(context.Background())
		})
		at := map[string]any{"host": admin.Hostname(), "port": admin.Port(), "dbname": strings.TrimPrefix(admin.Path, "/")}
		with := func(user, password string) string {
			m := map[string]any{"username": user, "password": password}
			for k, v := range at {
				m[k] = v
			}
			return value(t, m)
		}
		word, _ := admin.User.Password()
		users := func() string {
			rows, err := conn.Query(t.Context(), "SELECT rolname FROM pg_roles WHERE rolname LIKE $1 ORDER BY 1", user+"%")
			if err != nil {
				t.Fatal(err)
			}
			names, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(names, ",")
		}
		return map[string]string{"admin": "admin", "mode": mode, "tls": "disable"}, with(admin.User.Username(), word), with(user, "first-"+user), users
	}
}
