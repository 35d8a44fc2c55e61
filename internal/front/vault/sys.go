package vault

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// level is the version of Vault whose API this is: clients ask for it to know
// what they may send.
const level = "1.19.0"

// version is what the server says it is, in the form that clients read: Vault's,
// with our own behind a plus.
func (f *front) version() string { return level + "+countersign." + f.Version }

// sysRows are about the server itself.
func sysRows() []row {
	return []row{
		{methods: "GET HEAD", path: "health", as: "Health", open: true, do: health},
		{methods: "GET", path: "seal-status", as: "SealStatus", open: true, do: sealStatus},
		{methods: "GET", path: "leader", as: "Leader", open: true, do: leader},
		{methods: "GET", path: "ha-status", as: "HAStatus", open: true, do: haStatus},
		{methods: "GET POST", path: "init", as: "Init", open: true, do: initialized},
		{methods: "POST", path: "unseal", as: "Unseal", open: true, do: sealStatus},
		{methods: "POST", path: "seal", as: "Seal", do: refusal("there is no unsealing here, so there is no sealing: stop the server")},
		{methods: "POST", path: "step-down", as: "StepDown", do: refusal("one server holds the store: there is no other to step down for")},
		{methods: "GET", path: "host-info", as: "HostInfo", do: refusal("facts of the host are not for clients: ask the operating system, or /metrics")},
		{methods: "GET LIST", path: "version-history", as: "VersionHistory", do: refusal("the history of versions is not kept")},
		{methods: "POST", path: "tools/random", op: policy.RandomBytes, do: random},
		{methods: "POST", path: "tools/random/{source}", op: policy.RandomBytes, do: random},
		{methods: "POST", path: "tools/random/{source}/{bytes}", op: policy.RandomBytes, do: random},
		{methods: "POST", path: "tools/hash", op: policy.HashBytes, do: hash},
		{methods: "POST", path: "tools/hash/{algorithm}", op: policy.HashBytes, do: hash},
	}
}

// notHereRows are about what an operator of Vault asks of it, and of this server in
// another way or not at all. A bare 404 would leave them guessing.
func notHereRows() []row {
	const any = "GET POST PATCH DELETE LIST"
	const shares = "the root key is not in shares that clients bring: how it is kept is said in the server's configuration, seal"
	const keys = "the keys of the store are the server's: countersign rotate-keys makes new ones"
	return []row{
		{methods: "GET", path: "key-status", as: "KeyStatus", do: refusal(keys)},
		{methods: any, path: "rotate/{x...}", as: "RotateStoreKeys", do: refusal(keys)},
		{methods: any, path: "rekey/{x...}", as: "Rekey", do: refusal(shares)},
		{methods: any, path: "rekey-recovery-key/{x...}", as: "Rekey", do: refusal(shares)},
		{methods: any, path: "generate-root/{x...}", as: "GenerateRoot", do: refusal("there are no root tokens to generate: an administrator makes keys and tokens for others")},
		{methods: any, path: "generate-recovery-token/{x...}", as: "GenerateRoot", do: refusal("there are no recovery tokens: countersign server recover lets an administrator in again")},
		{methods: any, path: "storage/raft/{x...}", as: "RaftStorage", do: refusal("the store is no Raft cluster of Vault's: countersign backup copies it")},
		{methods: any, path: "plugins/{x...}", as: "Plugins", do: refusal("there are no plugins: engines and login methods are built in")},
		{methods: "GET", path: "monitor", as: "Monitor", do: refusal("logs are not for clients: read them where the server writes them")},
		{methods: "POST PATCH DELETE", path: "namespaces/{x...}", as: "Namespaces", do: refusal("an account is what a namespace is here, and no path below one: countersign account creates it")},
		{methods: any, path: "internal/counters/{x...}", as: "Counters", do: refusal("clients are not counted: see /metrics")},
	}
}

// refusal is a row that is refused with a reason. Who asks must have a token.
func refusal(reason string) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "%s", reason))
	}
}

// health tells whether requests are answered. The codes can be asked for.
func health(_ context.Context, c *call) (*answer, error) {
	code, draining := http.StatusOK, c.f.Draining.Err() != nil
	want := "activecode"
	if draining {
		code, want = http.StatusServiceUnavailable, "sealedcode"
	}
	if s := c.query.Get(want); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 || n > 599 {
			return nil, errs.InvalidField(want, "a status is 100 to 599")
		}
		code = n
	}
	return &answer{code: code, bare: true, data: struct {
		Initialized  bool   `json:"initialized"`
		Sealed       bool   `json:"sealed"`
		Standby      bool   `json:"standby"`
		PerfStandby  bool   `json:"performance_standby"`
		Performance  string `json:"replication_performance_mode"`
		DR           string `json:"replication_dr_mode"`
		Time         int64  `json:"server_time_utc"`
		Version      string `json:"version"`
		Enterprise   bool   `json:"enterprise"`
		ClusterName  string `json:"cluster_name"`
		ClusterID    string `json:"cluster_id"`
		EchoDuration int64  `json:"echo_duration_ms"`
		Clock        int64  `json:"clock_skew_ms"`
	}{Initialized: true, Sealed: draining, Performance: "disabled", DR: "disabled", Time: time.Now().Unix(),
		Version: c.f.version(), ClusterName: "countersign", ClusterID: c.f.Cluster}}, nil
}

// sealStatus says that there is nothing to unseal.
func sealStatus(_ context.Context, c *call) (*answer, error) {
	return &answer{bare: true, data: struct {
		Type         string `json:"type"`
		Initialized  bool   `json:"initialized"`
		Sealed       bool   `json:"sealed"`
		Threshold    int    `json:"t"`
		Shares       int    `json:"n"`
		Progress     int    `json:"progress"`
		Nonce        string `json:"nonce"`
		Version      string `json:"version"`
		Built        string `json:"build_date"`
		Migration    bool   `json:"migration"`
		ClusterName  string `json:"cluster_name"`
		ClusterID    string `json:"cluster_id"`
		RecoverySeal bool   `json:"recovery_seal"`
		Storage      string `json:"storage_type"`
	}{Type: "shamir", Initialized: true, Threshold: 1, Shares: 1, Version: c.f.version(),
		ClusterName: "countersign", ClusterID: c.f.Cluster, Storage: "countersign"}}, nil
}

func leader(context.Context, *call) (*answer, error) {
	return &answer{bare: true, data: struct {
		HA         bool   `json:"ha_enabled"`
		Self       bool   `json:"is_self"`
		Since      string `json:"active_time"`
		Address    string `json:"leader_address"`
		Cluster    string `json:"leader_cluster_address"`
		Standby    bool   `json:"performance_standby"`
		StandbyWAL int    `json:"performance_standby_last_remote_wal"`
	}{Self: true, Since: "0001-01-01T00:00:00Z"}}, nil
}

func haStatus(context.Context, *call) (*answer, error) {
	return ok(map[string]any{"nodes": []any{}}), nil
}

func initialized(_ context.Context, c *call) (*answer, error) {
	if c.method == http.MethodPost {
		return nil, errs.New(errs.Invalid, "Vault is already initialized")
	}
	return &answer{bare: true, data: map[string]bool{"initialized": true}}, nil
}
