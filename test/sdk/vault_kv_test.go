package sdk

import (
	"errors"
	"strconv"
	"sync"
	"time"

	vault "github.com/hashicorp/vault/api"
)

// kv2 writes versions, reads each of them and goes back to the first.
func kv2(w *vaultWorld) {
	ctx, kv, id := w.Context(), w.KVv2("secret"), w.prefix+"app"
	put, err := kv.Put(ctx, id, object("user", "one", "password", "two"))
	w.ok("the first write", err)
	is(w, "its version", put.VersionMetadata.Version, 1)
	w.recently("its creation", put.VersionMetadata.CreatedTime)
	got, err := kv.Get(ctx, id)
	w.ok("reading it", err)
	w.holds("the first version", got.Data, "user", "one", "password", "two")
	is(w, "the version that is read", got.VersionMetadata.Version, 1)
	is(w, "its state", got.VersionMetadata.Destroyed || !got.VersionMetadata.DeletionTime.IsZero(), false)
	is(w, "the type of its mount", got.Raw.MountType, "kv")
	is(w, "the lease", got.Raw.LeaseID, "")

	_, err = kv.Put(ctx, id, object("user", "three"))
	w.ok("the second write", err)
	got, err = kv.GetVersion(ctx, id, 1)
	w.ok("reading version 1", err)
	w.holds("version 1", got.Data, "user", "one", "password", "two")
	list, err := kv.GetVersionsAsList(ctx, id)
	w.ok("the versions", err)
	is(w, "their number", len(list), 2)
	is(w, "the last of them", list[len(list)-1].Version, 2)
	back, err := kv.Rollback(ctx, id, 1)
	w.ok("going back", err)
	is(w, "the version that it made", back.VersionMetadata.Version, 3)
	got, err = kv.Get(ctx, id)
	w.ok("reading it", err)
	w.holds("what it went back to", got.Data, "user", "one", "password", "two")

	// Values that are no texts come back as they were.
	_, err = kv.Put(ctx, id, map[string]any{"n": 12345678901234567, "f": 1.5, "b": true, "nothing": nil, "list": []any{"a", 1}, "o": map[string]any{"k": plant("deep")}})
	w.ok("writing other types", err)
	got, err = kv.Get(ctx, id)
	w.ok("reading them", err)
	is(w, "the members", inWords(got.Data["n"], got.Data["f"], got.Data["b"], got.Data["nothing"], got.Data["list"]), "12345678901234567 1.5 true <nil> [a 1]")
	w.holds("the object", got.Data["o"].(map[string]any), "k", "deep")

	// The members of the value without what they hold.
	keys, err := w.Logical().ReadWithContext(ctx, "secret/subkeys/"+id)
	w.ok("the keys", err)
	is(w, "the keys", inWords(keys.Data["subkeys"]), "map[b:<nil> f:<nil> list:<nil> n:<nil> nothing:<nil> o:map[k:<nil>]]")
}

// kv2Patch changes members of a value with each method that the client has.
func kv2Patch(w *vaultWorld) {
	ctx, kv, id := w.Context(), w.KVv2("secret"), w.prefix+"app"
	_, err := kv.Put(ctx, id, object("user", "one", "password", "two"))
	w.ok("the first write", err)
	for i, c := range []struct {
		what string
		data map[string]any
		opts []vault.KVOption
		want []string
	}{
		{"by default", object("password", "three"), nil, []string{"user", "one", "password", "three"}},
		{"as a patch", object("more", "four"), []vault.KVOption{vault.WithMergeMethod("patch"), vault.WithCheckAndSet(2)}, []string{"user", "one", "password", "three", "more", "four"}},
		{"read, then written", object("user", "five"), []vault.KVOption{vault.WithMergeMethod("rw")}, []string{"user", "five", "password", "three", "more", "four"}},
		{"without a member", map[string]any{"more": nil}, nil, []string{"user", "five", "password", "three"}},
	} {
		put, err := kv.Patch(ctx, id, c.data, c.opts...)
		w.ok(c.what, err)
		is(w, "the version "+c.what, put.VersionMetadata.Version, i+2)
		got, err := kv.Get(ctx, id)
		w.ok(c.what, err)
		w.holds(c.what, got.Data, c.want...)
	}
	_, err = kv.Patch(ctx, id, object("a", "b"), vault.WithMergeMethod("patch"), vault.WithCheckAndSet(1))
	w.refused("a patch of another version", err, 400, "check-and-set parameter did not match the current version")
	for _, method := range []string{"patch", "rw"} {
		if _, err := kv.Patch(ctx, w.prefix+"none", object("a", "b"), vault.WithMergeMethod(method)); !errors.Is(err, vault.ErrSecretNotFound) {
			w.Errorf("a patch (%s) of what is not there: %v", method, err)
		}
	}
}

// kv2States deletes, brings back and destroys versions.
func kv2States(w *vaultWorld) {
	ctx, kv, id := w.Context(), w.KVv2("secret"), w.prefix+"app"
	for _, v := range []string{"one", "two", "three", "four"} {
		_, err := kv.Put(ctx, id, object("v", v))
		w.ok("writing", err)
	}
	// state is what is said of a version: its number, and whether its data are there,
	// deleted or destroyed.
	state := func(version int) string {
		w.Helper()
		got, err := kv.GetVersion(ctx, id, version)
		w.ok("reading a version", err)
		m := got.VersionMetadata
		switch {
		case m.Version != version:
			w.Errorf("version %d says that it is %d", version, m.Version)
		case got.Data != nil && (m.Destroyed || !m.DeletionTime.IsZero()):
			w.Errorf("version %d is gone and has data", version)
		case m.Destroyed:
			return "destroyed"
		case !m.DeletionTime.IsZero():
			w.recently("the deletion", m.DeletionTime)
			return "deleted"
		}
		w.holds("the data", got.Data, "v", []string{"one", "two", "three", "four"}[version-1])
		return "there"
	}
	w.ok("deleting the last", kv.Delete(ctx, id))
	is(w, "the last", state(4), "deleted")
	last, err := kv.Get(ctx, id)
	w.ok("reading what was deleted", err)
	is(w, "the data of what was deleted", last.Data == nil, true)
	_, err = kv.Rollback(ctx, id, 4)
	is(w, "going back to what was deleted fails", err != nil, true)
	w.ok("bringing it back", kv.Undelete(ctx, id, []int{4}))
	is(w, "the last", state(4), "there")
	w.ok("deleting two", kv.DeleteVersions(ctx, id, []int{1, 2}))
	is(w, "the first", state(1), "deleted")
	is(w, "the second", state(2), "deleted")
	w.ok("destroying one", kv.Destroy(ctx, id, []int{1}))
	w.ok("bringing both back", kv.Undelete(ctx, id, []int{1, 2, 99}))
	is(w, "the first", state(1), "destroyed")
	is(w, "the second", state(2), "there")
	list, err := kv.GetVersionsAsList(ctx, id)
	w.ok("the versions", err)
	is(w, "their number", len(list), 4)
	is(w, "the first is destroyed", list[0].Destroyed, true)
	w.ok("removing all", kv.DeleteMetadata(ctx, id))
	if _, err := kv.Get(ctx, id); !errors.Is(err, vault.ErrSecretNotFound) {
		w.Errorf("reading what was removed: %v", err)
	}
	again, err := kv.Put(ctx, id, object("v", "one"), vault.WithCheckAndSet(0))
	w.ok("writing it again", err)
	is(w, "its version", again.VersionMetadata.Version, 1)
}

// kv2Metadata sets what a secret says of its versions.
func kv2Metadata(w *vaultWorld) {
	ctx, kv, id := w.Context(), w.KVv2("secret"), w.prefix+"app"
	w.ok("metadata without a version", kv.PutMetadata(ctx, id, vault.KVMetadataPutInput{CASRequired: true, MaxVersions: 3,
		DeleteVersionAfter: time.Hour, CustomMetadata: map[string]any{"owner": "team", "tier": "1"}}))
	m, err := kv.GetMetadata(ctx, id)
	w.ok("reading them", err)
	is(w, "they", inWords(m.CASRequired, m.MaxVersions, m.DeleteVersionAfter, m.CurrentVersion, m.CustomMetadata), "true 3 1h0m0s 0 map[owner:team tier:1]")
	w.recently("its creation", m.CreatedTime)
	_, err = kv.Put(ctx, id, object("v", "one"))
	w.refused("a write without cas", err, 400, "check-and-set parameter required for this call")
	put, err := kv.Put(ctx, id, object("v", "one"), vault.WithCheckAndSet(0))
	w.ok("a write with it", err)
	is(w, "the custom metadata of a write", inWords(put.CustomMetadata), "map[owner:team tier:1]")
	if left := time.Until(put.VersionMetadata.DeletionTime); left < 55*time.Minute || left > 65*time.Minute {
		w.Errorf("the version ends in %v", left)
	}

	no, none, five := false, time.Duration(0), 5
	w.ok("a patch", kv.PatchMetadata(ctx, id, vault.KVMetadataPatchInput{CASRequired: &no, DeleteVersionAfter: &none, MaxVersions: &five,
		CustomMetadata: map[string]any{"tier": nil, "more": "x"}}))
	m, err = kv.GetMetadata(ctx, id)
	w.ok("reading them", err)
	is(w, "they", inWords(m.CASRequired, m.MaxVersions, m.DeleteVersionAfter, m.CurrentVersion, m.CustomMetadata), "false 5 0s 1 map[more:x owner:team]")
	got, err := kv.Get(ctx, id)
	w.ok("reading the value", err)
	is(w, "the custom metadata of a read", inWords(got.CustomMetadata), "map[more:x owner:team]")

	for i := range 9 {
		_, err := kv.Put(ctx, id, object("v", strconv.Itoa(i)))
		w.ok("writing", err)
	}
	m, err = kv.GetMetadata(ctx, id)
	w.ok("reading them", err)
	is(w, "the current version", m.CurrentVersion, 10)
	is(w, "the number of versions", len(m.Versions), 5)
	is(w, "the oldest", m.OldestVersion, 6)
}

// kv2CAS has many writers who all have read the same version. One of them writes.
func kv2CAS(w *vaultWorld) {
	const writers = 12
	ctx, kv, id := w.Context(), w.KVv2("secret"), w.prefix+"app"
	for round := range 3 {
		errs := make([]error, writers)
		var group sync.WaitGroup
		for i := range writers {
			group.Go(func() {
				_, errs[i] = kv.Put(ctx, id, object("v", strconv.Itoa(i)), vault.WithCheckAndSet(round))
			})
		}
		group.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			w.refused("a writer who is late", err, 400, "check-and-set parameter did not match the current version")
		}
		is(w, "the number of writers who wrote", won, 1)
	}
}

// kv2List lists folders, with the names below and those beside them.
func kv2List(w *vaultWorld) {
	kv := w.KVv2("secret")
	for _, n := range []string{"a", "dir/b", "dir/c/d", "dir", "z"} {
		_, err := kv.Put(w.Context(), w.prefix+n, object("v", n))
		w.ok("writing", err)
	}
	for path, want := range map[string]string{"": "a dir dir/ z", "dir": "b c/", "dir/": "b c/", "dir/c": "d", "a": "", "none/": ""} {
		is(w, "the list of "+path, w.keys("secret/metadata/"+w.prefix+path), want)
	}
}

// kv2Missing reads what is not there.
func kv2Missing(w *vaultWorld) {
	ctx, kv := w.Context(), w.KVv2("secret")
	_, err := kv.Put(ctx, w.prefix+"app", object("v", "one"))
	w.ok("writing", err)
	_, err = kv.Get(ctx, w.prefix+"none")
	is(w, "a secret of none", errors.Is(err, vault.ErrSecretNotFound), true)
	_, err = kv.GetVersion(ctx, w.prefix+"app", 9)
	is(w, "a version of none", errors.Is(err, vault.ErrSecretNotFound), true)
	_, err = kv.GetMetadata(ctx, w.prefix+"none")
	is(w, "metadata of none", errors.Is(err, vault.ErrSecretNotFound), true)
	w.ok("deleting what is not there", kv.Delete(ctx, w.prefix+"none"))
	w.ok("removing what is not there", kv.DeleteMetadata(ctx, w.prefix+"none"))
	_, err = kv.Put(ctx, w.prefix+"app", nil)
	w.refused("a write of nothing", err, 400, "")
	_, err = w.KVv2(w.name+"-none").Get(ctx, "app")
	is(w, "a mount of none is refused", err != nil, true)
	// As programs have it that were written for version 1 of the engine.
	got, err := w.Logical().ReadWithContext(ctx, "secret/"+w.prefix+"app")
	w.ok("a read of version 1's shape", err)
	if got == nil || len(got.Warnings) != 1 || got.Data != nil {
		w.Error("a read of version 1's shape has no warning, or data")
	}
}

// kv1 is the engine of version 1, at a mount of its own.
func kv1(w *vaultWorld) {
	ctx := w.Context()
	w.ok("mounting", w.Sys().MountWithContext(ctx, w.name, &vault.MountInput{Type: "kv", Options: map[string]string{"version": "1"}}))
	kv := w.KVv1(w.name)
	w.ok("writing", kv.Put(ctx, "app/db", object("user", "one")))
	w.ok("writing over it", kv.Put(ctx, "app/db", map[string]any{"password": plant("two"), "ttl": "1h"}))
	got, err := kv.Get(ctx, "app/db")
	w.ok("reading", err)
	is(w, "the members", len(got.Data), 2)
	is(w, "the value", got.Data["password"].(string), plant("two"))
	is(w, "for how long it counts", got.Raw.LeaseDuration, 3600)
	is(w, "the list", w.keys(w.name), "app/")
	is(w, "the list", w.keys(w.name+"/app"), "db")
	w.ok("deleting", kv.Delete(ctx, "app/db"))
	_, err = kv.Get(ctx, "app/db")
	is(w, "reading what was deleted", errors.Is(err, vault.ErrSecretNotFound), true)
	w.ok("deleting it again", kv.Delete(ctx, "app/db"))
	is(w, "the list", w.keys(w.name), "")
	w.ok("unmounting", w.Sys().UnmountWithContext(ctx, w.name))
}
