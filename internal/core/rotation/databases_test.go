package rotation_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"countersign/internal/rotator"
	"countersign/internal/rotator/mysql"
	"countersign/internal/rotator/postgresql"
)

// databases are the real ones that scripts/with-databases has started.
func databases() (list []subject) {
	if os.Getenv("COUNTERSIGN_TEST_POSTGRES") != "" {
		list = append(list, subject{"postgresql", postgres, preparePostgres("single")}, subject{"postgresql-pair", postgres, preparePostgres("alternating")})
	}
	if os.Getenv("COUNTERSIGN_TEST_MYSQL") != "" {
		list = append(list, subject{"mysql", maria, prepareMySQL("single")}, subject{"mysql-pair", maria, prepareMySQL("alternating")})
	}
	return list
}

func maria(string) rotator.Kind { return mysql.Kind() }

func prepareMySQL(mode string) func(t *testing.T, dir string) (map[string]string, string, string, func() string) {
	return func(t *testing.T, _ string) (map[string]string, string, string, func() string) {
		dsn, err := driver.ParseDSN(os.Getenv("COUNTERSIGN_TEST_MYSQL"))
		if err != nil {
			t.Fatal("COUNTERSIGN_TEST_MYSQL is no DSN")
		}
		db, err := sql.Open("mysql", dsn.FormatDSN())
		if err != nil {
			t.Fatal(err)
		}
		user := "kill_" + strings.ToLower(rand.Text()[:10])
		exec := func(query string) error {
			_, err := db.ExecContext(context.Background(), query)
			return err
		}
		if err := exec("CREATE USER '" + user + "'@'%' IDENTIFIED BY 'first-" + user + "'"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			for _, u := range []string{user + "_clone", user} {
				_ = exec("DROP USER IF EXISTS '" + u + "'@'%'")
			}
			_ = db.Close()
		})
		host, port, err := net.SplitHostPort(dsn.Addr)
		if err != nil {
			t.Fatal(err)
		}
		with := func(user, password string) string {
			return value(t, map[string]any{"host": host, "port": port, "username": user, "password": password})
		}
		users := func() string {
			rows, err := db.QueryContext(t.Context(), "SELECT User FROM mysql.user WHERE User LIKE ? ORDER BY 1", user+"%")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var names []string
			for rows.Next() {
				var n string
				if err := rows.Scan(&n); err != nil {
					t.Fatal(err)
				}
				names = append(names, n)
			}
			return strings.Join(names, ",")
		}
		return map[string]string{"admin": "admin", "mode": mode, "tls": "disable"}, with(dsn.User, dsn.Passwd), with(user, "first-"+user), users
	}
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
