package postgresql

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"countersign/internal/rotator"
	"countersign/internal/rotator/database"
)

// comment is what stands at a role that Clone made.
func comment(p database.Pair) string { return p.Mark + ", beside " + p.Like }

// Find looks for a role and its comment.
func (s *session) Find(ctx context.Context, p database.Pair) (database.Found, error) {
	rows, err := s.query(ctx, "SELECT pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_catalog.pg_roles WHERE rolname = $1", p.Name)
	switch {
	case err != nil || len(rows) == 0:
		return database.Absent, err
	case string(rows[0][0]) == comment(p):
		return database.Ours, nil
	}
	return database.Strange, nil
}

// listed are the settings whose value is a list of quoted names. Such a value is not
// one text to SET.
var listed = []string{"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries", "shared_preload_libraries", "unix_socket_directories"}

// Clone makes a role beside another. It is one transaction, so there is either the
// whole of it or nothing.
func (s *session) Clone(ctx context.Context, p database.Pair) error {
	found, err := s.Find(ctx, p)
	if err != nil {
		return err
	}
	if found == database.Ours {
		return s.Set(ctx, p.Name, p.Password)
	}
	rows, err := s.query(ctx, `SELECT CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END || CASE WHEN rolreplication THEN ' REPLICATION' ELSE '' END
		|| ' CONNECTION LIMIT ' || rolconnlimit, rolvaliduntil, `+administers+` FROM pg_catalog.pg_roles r WHERE rolname = $1`, p.Like)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return rotator.Fail(rotator.Unsuitable, nil, "the server has no role of the name that the current value has")
	}
	if string(rows[0][2]) != "f" {
		return errAdministers
	}
	clause, err := s.password(ctx, p.Password)
	if err != nil {
		return err
	}
	name := quote(p.Name)
	sql := []string{"BEGIN", "CREATE ROLE " + name + " LOGIN " + string(rows[0][0]) + " " + clause}
	if until := rows[0][1]; until != nil {
		text, err := s.literal(string(until))
		if err != nil {
			return err
		}
		sql = append(sql, "ALTER ROLE "+name+" VALID UNTIL "+text)
	}
	text, err := s.literal(comment(p))
	if err != nil {
		return err
	}
	sql = append(sql, "GRANT "+quote(p.Like)+" TO "+name, "COMMENT ON ROLE "+name+" IS "+text)
	settings, err := s.settings(ctx, p)
	if err != nil {
		return err
	}
	sql = append(append(sql, settings...), "COMMIT")
	return s.exec(ctx, strings.Join(sql, "; "))
}

// settings are the statements that give a new role the settings of the other, and make
// it become the other at login where those say nothing else.
func (s *session) settings(ctx context.Context, p database.Pair) ([]string, error) {
	rows, err := s.query(ctx, `SELECT d.datname, pg_catalog.unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting s
		JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
		WHERE r.rolname = $1 AND (s.setdatabase = 0 OR d.oid IS NOT NULL)`, p.Like)
	if err != nil {
		return nil, err
	}
	role := p.Like
	var sql []string
	for _, row := range rows {
		name, value, _ := strings.Cut(string(row[1]), "=")
		at := ""
		if row[0] != nil {
			at = " IN DATABASE " + quote(string(row[0]))
		}
		if name == "role" && value == p.Name {
			value = p.Like
		}
		if name == "role" && at == "" {
			role = value
			continue
		}
		text, err := s.literal(value)
		if err != nil {
			return nil, err
		}
		set := "ALTER ROLE " + quote(p.Name) + at + " SET " + pgx.Identifier(strings.Split(name, ".")).Sanitize()
		if slices.Contains(listed, name) {
			sql = append(sql, "SELECT pg_catalog.set_config('"+name+"', "+text+", true)", set+" FROM CURRENT", "SET LOCAL search_path = pg_catalog")
			continue
		}
		sql = append(sql, set+" TO "+text)
	}
	text, err := s.literal(role)
	return append(sql, "ALTER ROLE "+quote(p.Name)+" SET role TO "+text), err
}

// Drop removes a role. One that has come to own something or to be granted something
// by name leaves the former to the other of the pair.
func (s *session) Drop(ctx context.Context, p database.Pair) error {
	name := quote(p.Name)
	err := s.exec(ctx, "DROP ROLE IF EXISTS "+name)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == dependent {
		err = s.exec(ctx, "BEGIN; REASSIGN OWNED BY "+name+" TO "+quote(p.Like)+"; DROP OWNED BY "+name+"; DROP ROLE "+name+"; COMMIT")
	}
	return err
}
