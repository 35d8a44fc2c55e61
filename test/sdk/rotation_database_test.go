package sdk

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
)

// database is a real one, with a user that is rotated.
type database struct {
	rotator string
	options map[string]string
	admin   map[string]any // value of the admin secret
	value   map[string]any // first value of the secret
	login   func(ctx context.Context, v map[string]any) error
}

// TestRotationUnderLoad rotates the login of a real database every second while
// clients read it through the AWS front and log in. With two users that take turns no
// login ever fails; with one, logins fail between the change in the database and the
// move of AWSCURRENT, and how long that is is measured.
func TestRotationUnderLoad(t *testing.T) {
	var found atomic.Bool
	t.Cleanup(func() {
		if !found.Load() && os.Getenv("CI") != "" {
			t.Error("no database is there, so nothing was tested")
		}
	})
	for name, open := range map[string]func(*testing.T) *database{"postgresql": postgres, "mysql": maria} {
		for _, mode := range []string{"single", "alternating"} {
			t.Run(name+"-"+mode, func(t *testing.T) {
				t.Parallel()
				db := open(t)
				if db == nil {
					t.Skip("no such database is there: scripts/with-databases starts them")
				}
				found.Store(true)
				underLoad(t, db, name, mode)
			})
		}
	}
}

// rotations is how many there are in one test, a second apart.
const rotations = 12

func underLoad(t *testing.T, db *database, name, mode string) {
	s := start(t)
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sm := secretsmanager.NewFromConfig(cfg)
	w := &world{T: t, Client: sm, server: s, cfg: cfg}
	admin, id := name+"-"+mode+"/admin", name+"-"+mode+"/app"
	for n, v := range map[string]map[string]any{admin: db.admin, id: db.value} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sm.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &n, SecretString: aws.String(string(text))}); err != nil {
			t.Fatal(err)
		}
	}
	options := map[string]string{"admin": admin, "mode": mode, "tls": "disable"}
	for k, v := range db.options {
		options[k] = v
	}
	w.native("PUT", "/secret/rotation?name="+url.QueryEscape(id), map[string]any{"rotator": db.rotator, "options": options})

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var mu sync.Mutex
	var logins, failures, late int
	var begun atomic.Int64 // rotations
	var worst time.Duration
	for range 4 {
		clients.Go(func() {
			var since time.Time // when logins of this client began to fail
			for ctx.Err() == nil {
				during := begun.Load()
				out, err := sm.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("reading: %v", err)
					return
				}
				var v map[string]any
				if err := json.Unmarshal([]byte(*out.SecretString), &v); err != nil {
					t.Errorf("the value is no JSON object")
					return
				}
				err = db.login(context.WithoutCancel(ctx), v)
				now := time.Now()
				mu.Lock()
				logins++
				switch {
				case err != nil && mode == "alternating" && begun.Load() != during:
					late++ // it took so long that the rotation after had begun, which ends what was read
				case err != nil:
					failures++
					if since.IsZero() {
						since = now
					}
				case !since.IsZero():
					worst, since = max(worst, now.Sub(since)), time.Time{}
				}
				mu.Unlock()
			}
		})
	}
	for range rotations {
		began := time.Now()
		begun.Add(1)
		w.rotated(id, w.native("POST", "/secret/rotate?name="+url.QueryEscape(id), map[string]any{})["version_id"])
		time.Sleep(time.Until(began.Add(time.Second)))
	}
	stop()
	clients.Wait()
	t.Logf("%s, mode %s: %d logins beside %d rotations, %d refused, and %d that took longer than a rotation; the longest time without a login that works: %s", name, mode, logins, rotations, failures, late, worst)
	switch {
	case logins < 100:
		t.Errorf("only %d logins", logins)
	case mode == "alternating" && (failures > 0 || late > logins/1000):
		t.Errorf("%d logins were refused, and %d late", failures, late)
	case worst > 2*time.Second:
		t.Errorf("for %s no login worked", worst)
	}
}

// rotated waits until a rotation is done.
func (w *world) rotated(id string, version any) {
	w.Helper()
	for range 100 {
		for _, h := range w.native("GET", "/secret/rotation?name="+url.QueryEscape(id), nil)["history"].([]any) {
			if h := h.(map[string]any); h["version_id"] == version {
				if h["result"] != "rotated" {
					w.Fatalf("it ended as %s: %v", h["result"], h["failure"])
				}
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.Fatal("the rotation does not end")
}

func maria(t *testing.T) *database {
	text := os.Getenv("COUNTERSIGN_TEST_MYSQL")
	if text == "" {
		return nil
	}
	dsn, err := mysql.ParseDSN(text)
	if err != nil {
		t.Fatal("COUNTERSIGN_TEST_MYSQL is no DSN")
	}
	db, err := sql.Open("mysql", text)
	if err != nil {
		t.Fatal(err)
	}
	user := "load_" + strings.ToLower(rand.Text()[:10])
	exec := func(query string) error {
		_, err := db.ExecContext(context.Background(), query)
		return err
	}
	if err := exec(fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", user, canary)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec("DROP USER IF EXISTS '" + user + "_clone'@'%'")
		_ = exec("DROP USER IF EXISTS '" + user + "'@'%'")
		_ = db.Close()
	})
	host, port, err := net.SplitHostPort(dsn.Addr)
	if err != nil {
		t.Fatal(err)
	}
	of := func(user, password string) map[string]any {
		return map[string]any{"engine": "mysql", "host": host, "port": port, "username": user, "password": password}
	}
	return &database{rotator: "mysql", admin: of(dsn.User, dsn.Passwd), value: of(user, canary), login: func(ctx context.Context, v map[string]any) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		to := mysql.NewConfig()
		to.User, to.Passwd, to.Net, to.Addr = v["username"].(string), v["password"].(string), "tcp", net.JoinHostPort(v["host"].(string), fmt.Sprint(v["port"]))
		connector, err := mysql.NewConnector(to)
		if err != nil {
			return err
		}
		c, err := connector.Connect(ctx)
		if err != nil {
			return err
		}
		return c.Close()
	}}
}

func postgres(t *testing.T) *database {
	text := os.Getenv("COUNTERSIGN_TEST_POSTGRES")
	if text == "" {
		return nil
	}
	at, err := url.Parse(text)
	if err != nil {
		t.Fatal("COUNTERSIGN_TEST_POSTGRES is no URL")
	}
	conn, err := pgx.Connect(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	user := "load_" + strings.ToLower(rand.Text()[:10])
	if _, err := conn.Exec(t.Context(), fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", user, canary)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "DROP ROLE IF EXISTS "+user+"_clone")
		_, _ = conn.Exec(context.Background(), "DROP ROLE IF EXISTS "+user)
		_ = conn.Close(context.Background())
	})
	of := func(user, password string) map[string]any {
		return map[string]any{"engine": "postgres", "host": at.Hostname(), "port": at.Port(), "dbname": strings.TrimPrefix(at.Path, "/"), "username": user, "password": password}
	}
	word, _ := at.User.Password()
	return &database{rotator: "postgresql", admin: of(at.User.Username(), word), value: of(user, canary), login: func(ctx context.Context, v map[string]any) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		to := url.URL{Scheme: "postgres", User: url.UserPassword(v["username"].(string), v["password"].(string)),
			Host: net.JoinHostPort(v["host"].(string), fmt.Sprint(v["port"])), Path: "/" + v["dbname"].(string), RawQuery: "sslmode=disable"}
		c, err := pgx.Connect(ctx, to.String())
		if err != nil {
			return err
		}
		var one int
		err = c.QueryRow(ctx, "SELECT 1").Scan(&one)
		_ = c.Close(ctx)
		return err
	}}
}
