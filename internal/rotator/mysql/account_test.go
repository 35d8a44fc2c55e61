package mysql

import (
	"slices"
	"strings"
	"testing"

	"countersign/internal/rotator/database"
)

func TestDefinition(t *testing.T) {
	for _, tt := range []struct{ in, account, ways, roles, rest string }{
		{"CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*D8' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 PASSWORD EXPIRE INTERVAL 90 DAY",
			"`app`@`%`", "mysql_native_password *D8", "", "REQUIRE SSL WITH MAX_USER_CONNECTIONS 5 PASSWORD EXPIRE INTERVAL 90 DAY"},
		{"CREATE USER `e`@`10.%` IDENTIFIED VIA ed25519 USING 'vRq+'", "`e`@`10.%`", "ed25519 vRq+", "", ""},
		{"CREATE USER `e`@`%` IDENTIFIED VIA mysql_native_password USING '*D8' OR unix_socket ACCOUNT LOCK", "`e`@`%`", "mysql_native_password *D8, unix_socket ", "", "ACCOUNT LOCK"},
		{"CREATE USER `e`@`%`", "`e`@`%`", "mysql_native_password ", "", ""},
		{"CREATE USER `e`@`%` REQUIRE SUBJECT 'it''s IDENTIFIED BY'", "`e`@`%`", "mysql_native_password ", "", "REQUIRE SUBJECT 'it''s IDENTIFIED BY'"},
		{"CREATE USER `a``b`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$x\\'y\\n' DEFAULT ROLE `r`@`%`,`s`@`%` REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK PASSWORD HISTORY DEFAULT",
			"`a``b`@`%`", "caching_sha2_password $A$005$x'y\n", "`r`@`%`,`s`@`%`", "REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK PASSWORD HISTORY DEFAULT"},
		{"CREATE USER `a`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x2441 REQUIRE NONE", "`a`@`%`", "caching_sha2_password 0x2441", "", "REQUIRE NONE"},
	} {
		d, err := parseDefinition(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		var ways []string
		for _, w := range d.ways {
			ways = append(ways, w.plugin+" "+w.stored)
		}
		if d.account.String() != tt.account || strings.Join(ways, ", ") != tt.ways || d.roles != tt.roles || d.rest != tt.rest {
			t.Errorf("%s\nis %s, %q, %q, %q", tt.in, d.account, ways, d.roles, d.rest)
		}
	}
	for _, in := range []string{"", "CREATE USER", "CREATE ROLE `a`", "CREATE USER a@`%`", "CREATE USER `a`@`%` IDENTIFIED", "CREATE USER `a`@`%` IDENTIFIED BY 'plain'", "CREATE USER `a`@`%` IDENTIFIED VIA",
		"CREATE USER `a`@`%` IDENTIFIED VIA x USING", "CREATE USER `a`@`%` IDENTIFIED VIA x OR", "CREATE USER `a`@`%", "CREATE USER `a`@`%` IDENTIFIED BY PASSWORD 'x", "CREATE USER `a`@`%` IDENTIFIED WITH 'x' DEFAULT ROLE",
		strings.Repeat("`a`", maxStatement)} {
		if d, err := parseDefinition(in); err == nil {
			t.Errorf("%.60q is %+v", in, d)
		}
	}
}

func TestRolesOfAGrant(t *testing.T) {
	for in, want := range map[string][]account{
		"GRANT `r1` TO `app`@`%` WITH ADMIN OPTION": {{"r1", ""}},
		"GRANT r1 TO `app`@`%`":                     {{"r1", ""}},
		"GRANT `r`@`%`, `s``x`@`h` TO `app`@`%`":    {{"r", "%"}, {"s`x", "h"}},
		"GRANT SELECT ON `x`.* TO `app`@`%`":        nil,
		"SET DEFAULT ROLE `r1` FOR `app`@`%`":       nil,
		"REVOKE INSERT ON `x`.* FROM `app`@`%`":     nil,
	} {
		g, err := parseGrant(in)
		if err != nil || !slices.Equal(g.roles, want) {
			t.Errorf("%s: %+v, %v", in, g, err)
		}
	}
	for _, in := range []string{"GRANT `r1`, TO `app`@`%`", "GRANT `r1` `r2` TO `app`@`%`", "GRANT TO `app`@`%`", "GRANT 'a' ( TO ) TO `app`@`%`"} {
		if g, err := parseGrant(in); err == nil {
			t.Errorf("%q is %+v", in, g)
		}
	}
}

func TestGrant(t *testing.T) {
	for _, tt := range []struct {
		in, what, to, option string
		admin                bool
	}{
		{"GRANT `r1` TO `app`@`%` WITH ADMIN OPTION", "GRANT `r1` TO", "`app`@`%`", " WITH ADMIN OPTION", false},
		{"GRANT `r`@`%` TO `app`@`%`", "GRANT `r`@`%` TO", "`app`@`%`", "", false},
		{"GRANT PROCESS ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*D8 WITH GRANT OPTION' REQUIRE SSL WITH MAX_USER_CONNECTIONS 5", "GRANT PROCESS ON *.* TO", "`app`@`%`", "", false},
		{"GRANT SELECT (`a`, `b TO c`), UPDATE (`a`) ON `d'b`.`t``x` TO `app`@`%` WITH GRANT OPTION", "GRANT SELECT (`a`, `b TO c`), UPDATE (`a`) ON `d'b`.`t``x` TO", "`app`@`%`", " WITH GRANT OPTION", false},
		{"GRANT EXECUTE ON PROCEDURE `to`.`TO` TO `TO`@`TO`", "GRANT EXECUTE ON PROCEDURE `to`.`TO` TO", "`TO`@`TO`", "", false},
		{"SET DEFAULT ROLE `r1` FOR `app`@`%`", "SET DEFAULT ROLE `r1` FOR", "`app`@`%`", "", false},
		{"GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION", "GRANT PROXY ON ''@'%' TO", "`root`@`localhost`", " WITH GRANT OPTION", false},
		{"REVOKE INSERT ON `x`.* FROM `app`@`%`", "REVOKE INSERT ON `x`.* FROM", "`app`@`%`", "", false},
		{"GRANT SELECT ON `x`.* TO `role`", "GRANT SELECT ON `x`.* TO", "`role`", "", false},
		{"GRANT USAGE ON *.* TO PUBLIC", "GRANT USAGE ON *.* TO", "`PUBLIC`", "", false},
		{"GRANT ALL PRIVILEGES ON `x`.* TO `app`@`%`", "GRANT ALL PRIVILEGES ON `x`.* TO", "`app`@`%`", "", false},
		{"GRANT ALL PRIVILEGES ON *.* TO `app`@`%`", "GRANT ALL PRIVILEGES ON *.* TO", "`app`@`%`", "", true},
		{"GRANT SELECT, CREATE USER, INSERT ON *.* TO `app`@`%`", "GRANT SELECT, CREATE USER, INSERT ON *.* TO", "`app`@`%`", "", true},
		{"GRANT BINLOG_ADMIN,ROLE_ADMIN ON *.* TO `app`@`%`", "GRANT BINLOG_ADMIN,ROLE_ADMIN ON *.* TO", "`app`@`%`", "", true},
		{"GRANT SELECT ON *.* TO `app`@`%` WITH GRANT OPTION", "GRANT SELECT ON *.* TO", "`app`@`%`", " WITH GRANT OPTION", true},
		{"GRANT UPDATE ON `mysql`.* TO `app`@`%`", "GRANT UPDATE ON `mysql`.* TO", "`app`@`%`", "", true},
		{"GRANT SELECT ON `mysql`.* TO `app`@`%`", "GRANT SELECT ON `mysql`.* TO", "`app`@`%`", "", false},
	} {
		g, err := parseGrant(tt.in)
		if err != nil || g.what != tt.what || g.to.String() != tt.to || g.option != tt.option || g.admin != tt.admin {
			t.Errorf("%s\nis %+v, %v", tt.in, g, err)
		}
	}
	for _, in := range []string{"", "SELECT 1", "GRANT", "GRANT x", "GRANT SELECT ON *.* TO", "GRANT SELECT ( ON *.* TO `a`@`%`", "SET ROLE x", "GRANT SELECT ON *.* TO 1`", "GRANT `x TO `a`@`%`"} {
		if g, err := parseGrant(in); err == nil {
			t.Errorf("%q is %+v", in, g)
		}
	}
}

// TestStored compares with what servers are known to store.
func TestStored(t *testing.T) {
	for _, tt := range []struct{ plugin, password, want string }{
		{native, "password", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"},
		{ed25519, "secret", "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"},
	} {
		if got, ok := stored(tt.plugin, tt.password); !ok || got != tt.want {
			t.Errorf("%s: %s", tt.plugin, got)
		}
	}
	if _, ok := stored(sha2, "x"); ok {
		t.Error("a salted one was computed")
	}
}

// TestStatements are those for MySQL, which no test here has a server for.
func TestStatements(t *testing.T) {
	s := &session{login: database.Login{Proved: true}}
	p := database.Pair{Name: "app_clone", Like: "app", Password: `it's \ it`, Mark: "mark"}
	for _, tt := range []struct{ in, want string }{
		{"CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 DEFAULT ROLE `r`@`%` REQUIRE SSL ATTRIBUTE '{\"a\": \"b\"}'",
			"CREATE USER `app_clone`@`%` IDENTIFIED WITH 'caching_sha2_password' BY 'it''s \\\\ it' REQUIRE SSL ATTRIBUTE '{\"countersign\":\"mark, beside app\"}'"},
		{"CREATE USER `app`@`%` IDENTIFIED WITH 'mysql_native_password' AS '*24' REQUIRE NONE COMMENT 'x'",
			"CREATE USER `app_clone`@`%` IDENTIFIED WITH 'mysql_native_password' AS 'HASH' REQUIRE NONE ATTRIBUTE '{\"countersign\":\"mark, beside app\"}'"},
	} {
		d, err := parseDefinition(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.create(d, account{p.Name, "%"}, p)
		h, _ := stored(native, p.Password)
		if want := strings.Replace(tt.want, "HASH", h, 1); err != nil || got != want {
			t.Errorf("got  %s (%v)\nwant %s", got, err, want)
		}
	}
	// Without proof of who the server is it is not told the password.
	s.login.Proved = false
	d, err := parseDefinition("CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 'x'")
	if err != nil {
		t.Fatal(err)
	}
	if sql, err := s.create(d, account{p.Name, "%"}, p); err == nil {
		t.Errorf("got %s", sql)
	}
	d.ways[0].plugin = "authentication_ldap_simple"
	if sql, err := s.create(d, account{p.Name, "%"}, p); err == nil {
		t.Errorf("got %s", sql)
	}
}

// FuzzAccount holds that nothing is taken for an account or a grant that, written out,
// is another one.
func FuzzAccount(f *testing.F) {
	f.Add("CREATE USER `a``b`@`%` IDENTIFIED VIA x USING 'y' OR z REQUIRE SSL")
	f.Add("CREATE USER `a`@`%` IDENTIFIED WITH 'x' AS 'y' DEFAULT ROLE `r`@`%`,`s`@`%` REQUIRE NONE")
	f.Add("GRANT SELECT (`a`) ON `b`.* TO `a`@`%` WITH GRANT OPTION")
	f.Add("SET DEFAULT ROLE `r` FOR `a`@`%`")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseDefinition(s); err == nil {
			again, err := parseDefinition("CREATE USER " + d.account.String())
			if err != nil || again.account != d.account {
				t.Fatalf("%q: %+v, then %+v, %v", s, d.account, again, err)
			}
		}
		g, err := parseGrant(s)
		if err != nil || g.to.host == "" {
			return
		}
		again, err := parseGrant(g.what + " " + g.to.String() + g.option)
		if err != nil || again.to != g.to || again.what != g.what || again.option != g.option || again.admin != g.admin {
			t.Fatalf("%q: %+v, then %+v, %v", s, g, again, err)
		}
	})
}
