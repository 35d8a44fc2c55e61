package secret_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/name"
)

// all walks every page of a listing, with something done between two pages.
func (f *fixture) all(req secret.ListRequest, between func(page int)) (names []string) {
	f.t.Helper()
	for page := 1; ; page++ {
		p, err := f.Secrets.List(f.ctx, f.Admin, req)
		f.must(err)
		for _, d := range p.Secrets {
			names = append(names, d.Name)
		}
		if p.Token == "" {
			return names
		}
		if page > 1000 {
			f.t.Fatal("the listing does not end")
		}
		req.Token = p.Token
		between(page)
	}
}

func TestListPagesThroughChanges(t *testing.T) {
	f := start(t, coretest.Config{})
	const count = 250
	order := rand.New(rand.NewPCG(3, 4)).Perm(count)
	for _, i := range order {
		f.create(fmt.Sprintf("s-%04d", i), "")
	}
	for i := 0; i < count; i += 3 {
		f.put(fmt.Sprintf("s-%04d", i), 1, "v")
		f.read(secret.ReadRequest{ID: id(fmt.Sprintf("s-%04d", i))})
	}
	f.must(secret.FlushUsed(f.Secrets, f.ctx))
	gone := 0
	for _, sort := range []secret.Sort{"", secret.SortName, secret.SortCreated, secret.SortChanged, secret.SortAccessed} {
		for _, desc := range []bool{false, true} {
			t.Run(fmt.Sprintf("by-%s-%v", sort, desc), func(t *testing.T) {
				f.t = t
				var deleted []string
				got := f.all(secret.ListRequest{Sort: sort, Desc: desc, Max: 17}, func(page int) {
					f.create(fmt.Sprintf("new-%s-%v-%d", sort, desc, page), "")
					n := fmt.Sprintf("s-%04d", gone)
					gone++
					deleted = append(deleted, n)
					_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id(n), Force: true})
					f.must(err)
				})
				seen := map[string]int{}
				for _, n := range got {
					seen[n]++
				}
				for n, times := range seen {
					if times > 1 {
						t.Errorf("%s is listed %d times", n, times)
					}
				}
				for i := gone; i < count; i++ {
					if n := fmt.Sprintf("s-%04d", i); seen[n] == 0 && !slices.Contains(deleted, n) {
						t.Errorf("%s is missing", n)
					}
				}
			})
		}
	}
}

func TestListOrder(t *testing.T) {
	f := start(t, coretest.Config{})
	for _, n := range []string{"b", "c", "a"} {
		f.create(n, "v")
	}
	f.put("c", 2, "w")
	for _, x := range []struct {
		req  secret.ListRequest
		want string
	}{
		{secret.ListRequest{Sort: secret.SortName}, "a b c"},
		{secret.ListRequest{Sort: secret.SortName, Desc: true}, "c b a"},
		{secret.ListRequest{}, "b c a"},
		{secret.ListRequest{Desc: true}, "a c b"},
		{secret.ListRequest{Sort: secret.SortChanged}, "b a c"},
		{secret.ListRequest{Sort: secret.SortChanged, Desc: true}, "c a b"},
		{secret.ListRequest{Sort: secret.SortAccessed}, "a b c"},
	} {
		if got := strings.Join(f.all(x.req, func(int) {}), " "); got != x.want {
			t.Errorf("%+v: %s, want %s", x.req, got, x.want)
		}
	}
}

func TestFilters(t *testing.T) {
	f := start(t, coretest.Config{})
	make := func(n, description string, tags ...secret.Tag) {
		_, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: n, Description: description, Tags: tags})
		f.must(err)
	}
	make("prod/db", "The Database of Orders", secret.Tag{Key: "Team", Value: "blue"}, secret.Tag{Key: "tier", Value: "one"})
	make("prod/queue", "messages", secret.Tag{Key: "Team", Value: "red"})
	make("test/db", "orders, in testing", secret.Tag{Key: "owner", Value: "blue team"})
	for _, x := range []struct {
		name    string
		filters []secret.Filter
		want    string
	}{
		{"none", nil, "prod/db prod/queue test/db"},
		{"name-prefix", []secret.Filter{{Key: secret.ByName, Values: []string{"prod/"}}}, "prod/db prod/queue"},
		{"name-case", []secret.Filter{{Key: secret.ByName, Values: []string{"PROD/"}}}, ""},
		{"name-not", []secret.Filter{{Key: secret.ByName, Values: []string{"!prod/"}}}, "test/db"},
		{"name-or", []secret.Filter{{Key: secret.ByName, Values: []string{"prod/q", "test"}}}, "prod/queue test/db"},
		{"name-and-not", []secret.Filter{{Key: secret.ByName, Values: []string{"prod/", "!prod/q"}}}, "prod/db"},
		{"two-filters", []secret.Filter{{Key: secret.ByName, Values: []string{"prod/"}}, {Key: secret.ByTagValue, Values: []string{"blue"}}}, "prod/db"},
		{"description-any-case", []secret.Filter{{Key: secret.ByDescription, Values: []string{"the data"}}}, "prod/db"},
		{"tag-key", []secret.Filter{{Key: secret.ByTagKey, Values: []string{"Te"}}}, "prod/db prod/queue"},
		{"tag-key-case", []secret.Filter{{Key: secret.ByTagKey, Values: []string{"te"}}}, ""},
		{"tag-key-not", []secret.Filter{{Key: secret.ByTagKey, Values: []string{"!Team"}}}, "test/db"},
		{"tag-value", []secret.Filter{{Key: secret.ByTagValue, Values: []string{"blue"}}}, "prod/db test/db"},
		{"region", []secret.Filter{{Key: secret.ByPrimaryRegion, Values: []string{"us-"}}}, "prod/db prod/queue test/db"},
		{"other-region", []secret.Filter{{Key: secret.ByPrimaryRegion, Values: []string{"eu-"}}}, ""},
		{"owning-service", []secret.Filter{{Key: secret.ByOwningService, Values: []string{"rds"}}}, ""},
		{"all", []secret.Filter{{Key: secret.ByAll, Values: []string{"ORDERS"}}}, "prod/db test/db"},
		{"all-words", []secret.Filter{{Key: secret.ByAll, Values: []string{"blue prod"}}}, "prod/db"},
		{"all-not", []secret.Filter{{Key: secret.ByAll, Values: []string{"!orders"}}}, "prod/queue"},
		{"unknown-key", []secret.Filter{{Key: "x", Values: []string{"y"}}}, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			f.t = t
			got := f.all(secret.ListRequest{Filters: x.filters, Sort: secret.SortName, Max: 1}, func(int) {})
			if strings.Join(got, " ") != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
	for want, flt := range map[string]secret.Filter{
		"ok":              {Key: secret.ByAll, Values: []string{"x"}},
		"invalid@Filters": {Key: "x", Values: []string{"x"}},
	} {
		f.expect(flt.Validate(), want)
	}
	f.expect(secret.Filter{Key: secret.ByAll}.Validate(), "invalid@Filters")
	f.expect(secret.Filter{Key: secret.ByAll, Values: make11()}.Validate(), "invalid@Filters")
}

func make11() []string { return strings.Split("a,b,c,d,e,f,g,h,i,j,k", ",") }

func TestVersionsPageByPage(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "v1")
	for n := 2; n <= 23; n++ {
		f.put("s", n, fmt.Sprint("v", n))
	}
	req := secret.VersionsRequest{ID: id("s"), Unlabeled: true, Max: 5}
	var got, want []uint64
	for {
		p, err := f.Secrets.ListVersions(f.ctx, f.Admin, req)
		f.must(err)
		for _, v := range p.Versions {
			got = append(got, v.Number)
		}
		if req.Token = p.Token; p.Token == "" {
			break
		}
		f.put("s", 100+len(got), "meanwhile")
	}
	for n := uint64(23); n > 0; n-- {
		want = append(want, n)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("none")})
	f.expect(err, "not-found/secret")
}

func TestPageTokens(t *testing.T) {
	f := start(t, coretest.Config{})
	stranger, _ := f.Stranger(t)
	for i := range 3 {
		f.create(fmt.Sprint("s", i), "v")
		f.put(fmt.Sprint("s", i), 2, "w")
		_, err := f.Secrets.Create(f.ctx, stranger, secret.CreateRequest{Name: fmt.Sprint("s", i)})
		f.must(err)
	}
	base := secret.ListRequest{Max: 1, Filters: []secret.Filter{{Key: secret.ByName, Values: []string{"s"}}}}
	p, err := f.Secrets.List(f.ctx, f.Admin, base)
	f.must(err)
	good := p.Token
	if raw, err := base64.RawURLEncoding.DecodeString(good); err != nil || strings.Contains(string(raw), "s0") {
		t.Errorf("the token %q tells of the store", good)
	}
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	elsewhere := f.asIn(coretest.Second)
	for _, x := range []struct {
		name string
		do   func(token string) error
		with string
		want string
	}{
		{"same-question", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, good, "ok"},
		{"other-size", func(tok string) error {
			r := base
			r.Token, r.Max = tok, 2
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, good, "ok"},
		{"forged", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, "AAAA", "invalid/page-token"},
		{"no-base64", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, "!!", "invalid/page-token"},
		{"long", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, strings.Repeat("A", 1<<20), "invalid/page-token"},
		{"altered", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, string(flipped), "invalid/page-token"},
		{"cut", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, good[:len(good)-2], "invalid/page-token"},
		{"other-account", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, stranger, r)
			return err
		}, good, "invalid/page-token"},
		{"other-region", func(tok string) error {
			r := base
			r.Token = tok
			_, err := f.Secrets.List(f.ctx, elsewhere, r)
			return err
		}, good, "invalid/page-token"},
		{"other-order", func(tok string) error {
			r := base
			r.Token, r.Desc = tok, true
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, good, "invalid/page-token"},
		{"other-sort", func(tok string) error {
			r := base
			r.Token, r.Sort = tok, secret.SortName
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, good, "invalid/page-token"},
		{"other-filter", func(tok string) error {
			r := base
			r.Token, r.Filters = tok, nil
			_, err := f.Secrets.List(f.ctx, f.Admin, r)
			return err
		}, good, "invalid/page-token"},
		{"of-a-listing-for-a-batch", func(tok string) error {
			_, err := f.Secrets.BatchReadValue(f.ctx, f.Admin, secret.BatchRequest{Filters: base.Filters, Max: 1, Token: tok})
			return err
		}, good, "invalid/page-token"},
		{"of-a-listing-for-versions", func(tok string) error {
			_, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s0"), Token: tok})
			return err
		}, good, "invalid/page-token"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if got := code(x.do(x.with)); got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
	vs, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s0"), Unlabeled: true, Max: 1})
	f.must(err)
	_, err = f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s1"), Unlabeled: true, Max: 1, Token: vs.Token})
	f.expect(err, "invalid/page-token")
	_, err = f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s0"), Max: 1, Token: vs.Token})
	f.expect(err, "invalid/page-token")
}

func FuzzPageToken(f *testing.F) {
	fix := start(f, coretest.Config{})
	for i := range 3 {
		fix.create(fmt.Sprint("s", i), "")
	}
	p, err := fix.Secrets.List(fix.ctx, fix.Admin, secret.ListRequest{Max: 1})
	fix.must(err)
	f.Add(p.Token)
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		_, err := fix.Secrets.List(fix.ctx, fix.Admin, secret.ListRequest{Max: 1, Token: token})
		if token == "" || token == p.Token {
			if err != nil {
				t.Errorf("a good token is refused: %v", err)
			}
			return
		}
		raw, _ := base64.RawURLEncoding.DecodeString(token)
		good, _ := base64.RawURLEncoding.DecodeString(p.Token)
		if got := code(err); got != "invalid/page-token" && !slices.Equal(raw, good) {
			t.Errorf("token %q: %s", token, got)
		}
	})
}

func TestBatch(t *testing.T) {
	f := start(t, coretest.Config{})
	for _, n := range []string{"a", "b", "c"} {
		f.create(n, "of "+n)
	}
	_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("c")})
	f.must(err)
	who, _ := f.User(t, "reader", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"secretsmanager:BatchGetSecretValue","Resource":"*"},
		{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:a-*"}]}`)
	show := func(b secret.Batch) string {
		var out []string
		for _, v := range b.Values {
			out = append(out, v.Name+"="+string(v.Data.Reveal()))
		}
		for _, e := range b.Failures {
			out = append(out, e.ID+"="+code(e.Err))
		}
		return strings.Join(out, " ")
	}
	ids := []name.SecretID{id("a"), id("b"), id("c"), id("none")}
	b, err := f.Secrets.BatchReadValue(f.ctx, f.Admin, secret.BatchRequest{IDs: ids})
	f.must(err)
	if got, want := show(b), "a=of a b=of b c=precondition/marked-for-deletion none=not-found/secret"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b, err = f.Secrets.BatchReadValue(f.ctx, who, secret.BatchRequest{IDs: ids})
	f.must(err)
	if got, want := show(b), "a=of a b=denied/no-match c=denied/no-match none=denied/no-match"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// Names come of filters, so the permission to list is asked for.
	filters := []secret.Filter{{Key: secret.ByName, Values: []string{""}}}
	_, err = f.Secrets.BatchReadValue(f.ctx, who, secret.BatchRequest{Filters: filters})
	f.expect(err, "denied/no-match")
	for i := range 25 {
		f.create(fmt.Sprintf("z%02d", i), "z")
	}
	var got []string
	req := secret.BatchRequest{Filters: []secret.Filter{{Key: secret.ByName, Values: []string{"z"}}}}
	for {
		b, err = f.Secrets.BatchReadValue(f.ctx, f.Admin, req)
		f.must(err)
		if len(b.Values) > secret.MaxBatch || len(b.Failures) > 0 {
			t.Fatalf("%d values, failures %v", len(b.Values), b.Failures)
		}
		for _, v := range b.Values {
			got = append(got, v.Name)
		}
		if req.Token = b.Token; b.Token == "" {
			break
		}
	}
	if slices.Sort(got); len(slices.Compact(got)) != 25 {
		t.Errorf("read %q", got)
	}
	reads := 0
	for _, r := range f.Records(t) {
		if r.Operation == "ReadValue" {
			reads++
		}
	}
	if reads != 8+25 {
		t.Errorf("%d records of reads, want one for each secret", reads)
	}
}
